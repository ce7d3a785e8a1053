#include "src/models/model_spec.hpp"

#include <nlohmann/json.hpp>

#include "src/base/check.hpp"

namespace thresher {

std::string to_json(const ModelSpec& spec) {
    nlohmann::ordered_json json = {{"name", spec.name},       {"input_shape", spec.input_shape},
                                   {"classes", spec.classes}, {"scale", spec.scale},
                                   {"mean", spec.mean},       {"std", spec.std},
                                   {"dropout", spec.dropout}, {"hidden", spec.hidden}};
    if (!spec.class_names.empty()) json["class_names"] = spec.class_names;
    if (spec.towers) {
        json["towers"] = {{"image", spec.towers->image},
                          {"text_width", spec.towers->text_width},
                          {"text_layers", spec.towers->text_layers},
                          {"embedding", spec.towers->embedding},
                          {"token_length", spec.towers->token_length},
                          {"vocabulary", spec.towers->vocabulary}};
    }
    if (spec.detector) {
        auto anchors = nlohmann::ordered_json::array();
        for (const auto& shapes : spec.detector->anchors) {
            auto& level = anchors.emplace_back(nlohmann::ordered_json::array());
            for (const AnchorShape& shape : shapes) level.push_back({shape.width, shape.height});
        }
        json["detector"] = {{"trunk", spec.detector->trunk}, {"anchors", std::move(anchors)}};
        // Where they are as usual, the text is that of a run that was begun before there were any.
        if (spec.detector->class_heads != 1) {
            json["detector"]["class_heads"] = spec.detector->class_heads;
        }
        if (spec.detector->loss_head) json["detector"]["loss_head"] = true;
    }
    return json.dump(2);
}

ModelSpec model_spec_from_json(const std::string& text) {
    try {
        const auto json = nlohmann::json::parse(text);
        ModelSpec spec;
        json.at("name").get_to(spec.name);
        json.at("input_shape").get_to(spec.input_shape);
        json.at("classes").get_to(spec.classes);
        spec.class_names = json.value("class_names", spec.class_names);
        json.at("scale").get_to(spec.scale);
        json.at("mean").get_to(spec.mean);
        json.at("std").get_to(spec.std);
        json.at("dropout").get_to(spec.dropout);
        json.at("hidden").get_to(spec.hidden);
        if (json.contains("towers")) {
            const auto& from = json.at("towers");
            Towers& towers = spec.towers.emplace();
            from.at("image").get_to(towers.image);
            from.at("text_width").get_to(towers.text_width);
            from.at("text_layers").get_to(towers.text_layers);
            from.at("embedding").get_to(towers.embedding);
            from.at("token_length").get_to(towers.token_length);
            from.at("vocabulary").get_to(towers.vocabulary);
        }
        if (json.contains("detector")) {
            const auto& from = json.at("detector");
            DetectorSpec& detector = spec.detector.emplace();
            from.at("trunk").get_to(detector.trunk);
            detector.class_heads = from.value("class_heads", detector.class_heads);
            detector.loss_head = from.value("loss_head", detector.loss_head);
            for (const auto& shapes : from.at("anchors")) {
                auto& level = detector.anchors.emplace_back();
                for (const auto& shape : shapes) {
                    level.push_back({shape.at(0).get<double>(), shape.at(1).get<double>()});
                }
            }
        }
        return spec;
    } catch (const nlohmann::json::exception& error) {
        fail("the model's specification is not the JSON that thresher writes: {}", error.what());
    }
}

}  // namespace thresher
