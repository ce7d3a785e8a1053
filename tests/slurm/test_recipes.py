"""The Spack package and the Apptainer recipe, as far as they can be read without Spack and Apptainer."""

import pathlib
import re
import sys
import types
import unittest

ROOT = pathlib.Path(__file__).parent.parent.parent


class Spec(dict):
    """Variants that are on, and packages by name."""

    def __init__(self, on, **packages):
        super().__init__(**packages)
        self.on = on

    def __contains__(self, variant):
        return variant in self.on


class Spack(unittest.TestCase):
    def load(self):
        """The package class, with directives that note what they are called with."""
        said = {}
        module = types.ModuleType("spack.package")
        for directive in ("version", "variant", "depends_on", "conflicts", "license", "generator"):
            setattr(module, directive, lambda *words, _name=directive, **options: said.setdefault(_name, []).append((words, options)))
        module.CMakePackage = type("CMakePackage", (), {
            "define": lambda self, name, value: f"-D{name}={value}",
            "define_from_variant": lambda self, name, variant: f"-D{name}={'+' + variant in self.spec}"})
        module.CudaPackage = type("CudaPackage", (), {})
        module.join_path = lambda *parts: "/".join(parts)
        module.__all__ = [name for name in vars(module) if not name.startswith("__")]
        sys.modules["spack"], sys.modules["spack.package"] = types.ModuleType("spack"), module
        self.addCleanup(lambda: [sys.modules.pop(name) for name in ("spack", "spack.package")])
        namespace = {}
        exec(compile((ROOT / "slurm/spack/package.py").read_text(), "package.py", "exec"), namespace)
        return namespace["Thresher"], said

    def test_variants_become_options_that_cmake_knows(self):
        package, said = self.load()
        self.assertLessEqual({"cuda", "nccl"}, {words[0] for words, _ in said["variant"]})
        torch = types.SimpleNamespace(package=types.SimpleNamespace(cmake_prefix_paths=["/torch"]))
        known = set(re.findall(r"(?:option|thresher_tristate)\((\w+)", (ROOT / "cmake/ThresherOptions.cmake").read_text()))
        for on, cuda in ((set(), "OFF"), ({"+cuda", "+nccl"}, "ON")):
            instance = package()
            instance.spec = Spec(on, **{"py-torch": torch})
            arguments = instance.cmake_args()
            self.assertIn(f"-DTHRESHER_CUDA={cuda}", arguments)
            self.assertLessEqual({one[2:].partition("=")[0] for one in arguments} - {"CMAKE_PREFIX_PATH"}, known)

    def test_what_the_build_looks_for_is_a_dependency(self):
        _, said = self.load()
        needs = {re.split("[@ +~]", words[0])[0] for words, _ in said["depends_on"]}
        for name in ("mpi", "hdf5", "py-torch", "cli11", "spdlog", "fmt", "nlohmann-json", "pugixml", "random123", "highway", "xxhash",
                     "sentencepiece", "jpeg", "libpng", "zlib-api", "nccl"):
            self.assertIn(name, needs)


class Apptainer(unittest.TestCase):
    def test_recipe_has_its_sections_and_the_files_that_it_names(self):
        text = (ROOT / "slurm/thresher.def").read_text()
        for section in ("%files", "%post", "%environment", "%runscript", "%test"):
            self.assertEqual(len(re.findall(rf"(?m)^{section}$", text)), 1, section)
        self.assertTrue((ROOT / re.search(r"bash (jobs/\S+)", text)[1]).exists())


if __name__ == "__main__":
    unittest.main()
