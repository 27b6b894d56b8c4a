"""Pictures and weights: those that are given, fewer of them, or made-up ones."""
import lzma
import pathlib
import shutil
import sys

from .commands import Failed

PICTURES = "hymenoptera_data"
RESNET, SQUEEZENET = "resnet18", "squeezenet1_1"


class Material:
    """What the experiments read. `made_up` says whether pictures or weights were made up: then only times mean something."""

    def __init__(self, args, work, commands):
        self.args, self.work, self.commands = args, work, commands
        self.made_up, self.found = False, {}
        self.data = self.pictures()

    def pictures(self):
        """The folder with the folder of pictures; None if there are none."""
        if not self.args.data and not self.args.made_up:
            return None
        folder = self.args.data
        if not folder:
            folder = self.make("pictures", self.work / "made-up" / PICTURES).parent
        if self.args.pictures:
            folder = fewer(folder, self.work / "fewer", self.args.pictures)
        return folder

    def weights(self, network):
        """The weights of a network; None if there are none."""
        if network not in self.found:
            self.found[network] = self.find(network)
        return self.found[network]

    def find(self, network):
        folder = self.args.weights_dir
        files = sorted(folder.glob(f"{network}*")) if folder else []
        files = [file for file in files if file.suffix in (".safetensors", ".pth") and ".check." not in file.name]
        if files:
            return files[0].resolve()
        return self.make(network, self.work / "made-up" / f"{network}-made-up.pth") if self.args.made_up else None

    def make(self, what, place):
        """Makes up pictures or weights, with PyTorch."""
        self.commands.run([sys.executable, "scripts/gpu_check/made_up.py", what, place])
        self.made_up = True
        return place

    def lacks(self, network):
        """What an experiment with this network lacks, in words; nothing if all is there."""
        if not self.data:
            return "no --data"
        return "" if self.weights(network) else f"no {network}*.safetensors in --weights-dir"

    def options(self, network):
        """The arguments of a sweep of an experiment with the variants `pretrained` and `frozen`."""
        options = ["--data-dir", self.data]
        for variant in ("pretrained", "frozen"):
            options += ["--set", f'variant.{variant}.model.weights="file:{self.weights(network)}"']
        return options + (["--set", f"data.transform.size={self.args.size}"] if self.args.size else [])


def fewer(source, target, count):
    """Copies the first pictures of each class of each split."""
    for folder in sorted((source / PICTURES).glob("*/*")):
        if folder.is_dir():
            place = target / PICTURES / folder.parent.name / folder.name
            place.mkdir(parents=True, exist_ok=True)
            for file in sorted(file for file in folder.iterdir() if file.is_file())[:count]:
                shutil.copyfile(file, place / file.name)
    return target


def unpacked(binary, work):
    """The program; one that ends in `.xz` is unpacked first."""
    binary = pathlib.Path(binary).resolve()
    if not binary.is_file():
        raise Failed(f"there is no {binary.name}; give --graft the program, built with --features cuda")
    if binary.suffix != ".xz":
        return binary
    target = work / "graft"
    with lzma.open(binary) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file)
    target.chmod(0o755)
    return target
