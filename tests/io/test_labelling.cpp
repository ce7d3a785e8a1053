#include <nlohmann/json.hpp>

#include "io/labelling/answers.hpp"
#include "io/labelling/tasks.hpp"
#include "tests/io/support.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;
using namespace thresher::io;
using namespace thresher::test;

namespace {

Batch photos() {
    Batch batch;
    batch.ids = {42, 7};
    batch.scores = {1.5F, 0.25F};
    batch.names = {"cats/a & b.png", "c.png"};
    batch.acquisition = "entropy";
    return batch;
}

const TaskOptions kOptions{{"cat", "dog \"big\""}, "/files/"};

std::vector<std::string> in_words(const std::vector<Answer>& answers) {
    std::vector<std::string> words;
    for (const Answer& answer : answers) {
        words.push_back(answer.id + "|" + answer.name + "|" + answer.label + "|" + answer.place);
    }
    return words;
}

using Words = std::vector<std::string>;

}  // namespace

TEST_CASE("a batch becomes tasks of Label Studio, with its interface") {
    const TemporaryDirectory directory;
    const std::string batch = directory / "batch.h5";
    write_tasks(batch, photos(), find_task_format("label-studio"), kOptions, Overwrite::no);
    const auto tasks = nlohmann::json::parse(read_file(directory / "batch.label-studio.json"));
    REQUIRE(tasks.size() == 2);
    CHECK(tasks[0]["data"]["image"] == "/files/cats/a & b.png");
    CHECK(tasks[0]["data"]["thresher_id"] == 42);
    CHECK(tasks[1]["data"]["score"] == 0.25);
    write_tasks(batch, photos(), find_task_format("label-studio-config"), kOptions, Overwrite::no);
    const std::string interface = read_file(directory / "batch.label-studio.xml");
    CHECK(contains(interface, "<Image name=\"image\" value=\"$image\""));
    CHECK(contains(interface, "<Choice value=\"dog &quot;big&quot;\""));
}

TEST_CASE("a batch becomes a task of CVAT and an image list, and CVAT's comes back empty") {
    const TemporaryDirectory directory;
    const std::string batch = directory / "batch.h5";
    write_tasks(batch, photos(), find_task_format("cvat"), kOptions, Overwrite::no);
    CHECK(contains(read_file(directory / "batch.cvat.xml"), "name=\"cats/a &amp; b.png\""));
    CHECK(read_answers(directory / "batch.cvat.xml").empty());
    write_tasks(batch, photos(), find_task_format("images"), kOptions, Overwrite::no);
    const auto list = nlohmann::json::parse(read_file(directory / "batch.images.json"));
    CHECK(list["images"][1]["id"] == 7);
    CHECK(list["categories"][0]["name"] == "cat");
    CHECK(contains(message_of([&] {
                       write_tasks(batch, photos(), find_task_format("cvat"), kOptions,
                                   Overwrite::no);
                   }),
                   "exists already"));
    CHECK(contains(message_of([] { find_task_format("excel"); }), "known: label-studio"));
    Batch nameless = photos();
    nameless.names.clear();
    CHECK(contains(message_of([&] {
                       write_tasks(batch, nameless, find_task_format("images"), kOptions,
                                   Overwrite::yes);
                   }),
                   "the rows have no names"));
}

TEST_CASE("answers are read from a CSV by id or by name") {
    const TemporaryDirectory directory;
    write_file(directory / "a.csv", "id,score,name,label\n42,1.5,\"x, y.png\",cat\n7,0.2,c.png,\n",
               Overwrite::no);
    CHECK(in_words(read_answers(directory / "a.csv")) == Words{"42|x, y.png|cat|line 2"});
    write_file(directory / "b.csv", "\xEF\xBB\xBFname,label\r\nc.png,dog\r\n\r\n", Overwrite::no);
    CHECK(in_words(read_answers(directory / "b.csv")) == Words{"|c.png|dog|line 2"});
    write_file(directory / "c.csv",
               "annotation_id,annotator,choice,id,image,name,thresher_id\n"
               "5,1,cat,900,/files/c.png,c.png,7\n",
               Overwrite::no);
    CHECK(in_words(read_answers(directory / "c.csv")) == Words{"7|c.png|cat|line 2"});
    write_file(directory / "d.csv", "id,class\n1,2\n", Overwrite::no);
    CHECK(contains(message_of([&] { read_answers(directory / "d.csv"); }),
                   "the first line must name a column label"));
    write_file(directory / "e.csv", "  \n", Overwrite::no);
    CHECK(contains(message_of([&] { read_answers(directory / "e.csv"); }), "is empty"));
}

TEST_CASE("an answer is refused, not dropped, where its line is not whole") {
    const TemporaryDirectory directory;
    const auto message = [&](const std::string& text) {
        write_file(directory / "a.csv", text, Overwrite::yes);
        return message_of([&] { read_answers(directory / "a.csv"); });
    };
    const std::string open = message("id,comment,label\n2,\"two\nlines\",3\n28,plain,4\n");
    CHECK(contains(open, "a.csv: 1 bad lines"));
    CHECK(contains(open,
                   "line 2: a quote is not closed (line breaks inside quotes are not supported): "
                   "\"2,\"two\""));
    CHECK(contains(message("id,\"my\nlabel\",label\n1,2,3\n"), "line 1: a quote is not closed"));
    CHECK(contains(message("\xFF\xFEi"), "a.csv: is text in UTF-16"));
    CHECK(contains(message("\x1b[2Jid\n"), "\"\\x1b[2Jid\""));
    // Spreadsheets drop empty cells at the end of a line.
    write_file(directory / "b.csv", "id,label,comment,more\n2,cat\n7,dog,yes\n9\n", Overwrite::no);
    CHECK(in_words(read_answers(directory / "b.csv")) == Words{"2||cat|line 2", "7||dog|line 3"});
    write_file(directory / "c.csv", "\"a,1\";id;label\nx;2;cat\n", Overwrite::no);
    CHECK(in_words(read_answers(directory / "c.csv")) == Words{"2||cat|line 2"});
}

TEST_CASE("answers are read from Label Studio's JSON, cancelled ones left out") {
    const TemporaryDirectory directory;
    write_file(directory / "a.json", R"([
        {"id": 1, "data": {"thresher_id": 42, "name": "a.png"}, "annotations": [
            {"was_cancelled": true, "result": [{"value": {"choices": ["dog"]}}]},
            {"was_cancelled": false, "result": [{"type": "choices", "value": {"choices": ["cat"]}}]}]},
        {"id": 2, "data": {"name": "c.png"}, "annotations": []},
        {"id": 3, "data": {"name": "c.png"}, "annotations": [{"result": [{"value": {"choices": ["dog"]}}]}]}
    ])",
               Overwrite::no);
    CHECK(in_words(read_answers(directory / "a.json")) ==
          Words{"42|a.png|cat|task 1", "|c.png|dog|task 3"});
    write_file(
        directory / "min.json",
        R"([{"id": 1, "thresher_id": 7, "name": "c.png", "label": "dog"}, {"id": 2, "name": "d"}])",
        Overwrite::no);
    CHECK(in_words(read_answers(directory / "min.json")) == Words{"7|c.png|dog|task 1"});
    write_file(
        directory / "two.json",
        R"([{"data": {}, "annotations": [{"result": [{"value": {"choices": ["a", "b"]}}]}]}])",
        Overwrite::no);
    CHECK(contains(message_of([&] { read_answers(directory / "two.json"); }),
                   "task 1 has more than one choice"));
    for (const char* text : {"[{\"data\": ", "{\"a\": 1}", "[3]",
                             R"([{"data": {}, "annotations": [{"was_cancelled": null}]}])",
                             R"([{"data": {}, "annotations": [{"result": [{"value": 3}]}]}])",
                             R"([{"data": {}, "annotations": 3}])"}) {
        write_file(directory / "bad.json", text, Overwrite::yes);
        CHECK(contains(message_of([&] { read_answers(directory / "bad.json"); }), "bad.json: "));
    }
}

TEST_CASE("answers are read from CVAT's tags") {
    const TemporaryDirectory directory;
    write_file(directory / "a.xml",
               "<?xml version=\"1.0\"?>\n<annotations><version>1.1</version>"
               "<image id=\"0\" name=\"p/c.png\"><tag label=\"cat\" source=\"manual\"/></image>"
               "<image id=\"1\" name=\"d.png\"/></annotations>",
               Overwrite::no);
    CHECK(in_words(read_answers(directory / "a.xml")) == Words{"|p/c.png|cat|image 0"});
    write_file(directory / "b.xml", "<annotations><image", Overwrite::no);
    CHECK(contains(message_of([&] { read_answers(directory / "b.xml"); }),
                   "is no annotation file of CVAT"));
}
