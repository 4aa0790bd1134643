"""The one file that says everything of a training run, checked before anything starts."""

import itertools
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from service.errors import SetupError

_SHOWN: Final = 8
"""Faults that a message tells."""


class ConfigError(SetupError):
    """A training configuration that cannot be used."""


Folder = Annotated[Path, AfterValidator(Path.expanduser)]
"""`~` is the home folder, as in a shell."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CocoData(_Part):
    """COCO files with FDI numbers as categories; paths are relative to the folder that the command runs in.

    Attributes:
        folder: holds the files and the pictures; `~` is the home folder.
        images: the folder of the pictures, in `folder`.
        train, val, test: the splits' files, in `folder`.
    """

    kind: Literal["coco"]
    folder: Folder
    images: str = "images"
    train: str = "train.json"
    val: str = "val.json"
    test: str = "test.json"


class PairsData(_Part):
    """`train/`, `val/` and `test/`, each with `images/` and `masks/` of the same names.

    Attributes:
        folder: holds the three; `~` is the home folder.
    """

    kind: Literal["pairs"]
    folder: Folder


def _as_names(pictures: Any) -> Any:  # noqa: ANN401 - whatever the YAML file holds
    """Pictures by name: YAML reads 1051 as a number."""
    return [str(name) for name in pictures] if isinstance(pictures, list) else pictures


class TuftsData(_Part):
    """The Tufts Dental Database as it is handed out; tooth or not, without numbers.

    Attributes:
        folder: holds `Radiographs/` and `Segmentation/teeth_mask/`; `~` is the home folder.
        seed: which pictures go where is drawn from it and their names.
        train, val: shares of the pictures; the rest is the test split.
        leave_out: pictures to do without, by name without ending, such as one whose mask does not fit.
    """

    kind: Literal["tufts"]
    folder: Folder
    seed: int = 0
    train: float = Field(default=0.7, gt=0, lt=1)
    val: float = Field(default=0.15, gt=0, lt=1)
    leave_out: Annotated[tuple[str, ...], BeforeValidator(_as_names)] = ()

    @model_validator(mode="after")
    def _something_is_left_to_test(self) -> "TuftsData":
        if self.train + self.val >= 1:
            raise ValueError(f"train {self.train} and val {self.val} leave nothing to test; together they are below 1")
        return self


class PhantomData(_Part):
    """Drawn radiographs with their truth.

    Attributes:
        train, val, test: how many pictures each split has.
        seed: what they show is drawn from it.
    """

    kind: Literal["phantom"]
    train: int = Field(gt=0)
    val: int = Field(gt=0)
    test: int = Field(gt=0)
    seed: int = 0


Data = Annotated[CocoData | PairsData | TuftsData | PhantomData, Field(discriminator="kind")]


class Network(_Part):
    """The network, a UNet.

    Attributes:
        encoder: as segmentation-models-pytorch names it.
        decoder_channels: planes of each block, from the deepest on; their number is the encoder's depth.
        classes: 33 for background and the 32 FDI numbers, 2 for background and tooth.
    """

    encoder: str = "resnet34"
    decoder_channels: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        (256, 128, 64, 32, 16), min_length=3, max_length=5
    )
    classes: Literal[2, 33] = 33


class Phase(_Part):
    """A number of epochs at one input size.

    Attributes:
        height, width: of the input, in pixels.
        epochs: passes over the training pictures.
        batch: pictures a step.
    """

    height: int = Field(gt=0, multiple_of=32)
    width: int = Field(gt=0, multiple_of=32)
    epochs: int = Field(gt=0)
    batch: int = Field(gt=0)


class Optimiser(_Part):
    """The step rule.

    Attributes:
        name: which rule.
        learning_rate: the first one, or the highest where the schedule is `one-cycle`.
        weight_decay: as PyTorch has it.
        gradient_clip: length that a gradient is cut to; none cuts nothing.
    """

    name: Literal["adam", "adamw"]
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    gradient_clip: float | None = Field(default=None, gt=0)


class OneCycle(_Part):
    """Up from a 25th of the learning rate and down to nearly nothing, once over the whole run (Smith 2018).

    Attributes:
        warm_up: share of the run in which it rises.
    """

    name: Literal["one-cycle"]
    warm_up: float = Field(default=0.1, gt=0, lt=1)


class Plateau(_Part):
    """The learning rate times `factor` once more than `patience` epochs of a phase gave no lower validation loss.

    Attributes:
        factor: what the rate is multiplied by.
        patience: epochs without gain.
    """

    name: Literal["plateau"]
    factor: float = Field(gt=0, lt=1)
    patience: int = Field(gt=0)


Scheduler = Annotated[OneCycle | Plateau, Field(discriminator="name")]


class Loss(_Part):
    """Weights of the loss's terms.

    Attributes:
        cross_entropy: by pixel.
        dice: soft Dice of each number.
        foreground_dice: soft Dice of tooth against background.
    """

    cross_entropy: float = Field(default=1.0, ge=0)
    dice: float = Field(default=1.0, ge=0)
    foreground_dice: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _something_is_learnt(self) -> "Loss":
        if not self.cross_entropy + self.dice + self.foreground_dice:
            raise ValueError("one of cross_entropy, dice and foreground_dice must be above 0")
        return self


class Augmentation(_Part):
    """How far a training picture is changed; every amount is the largest, drawn evenly, and 0 turns it off.

    Attributes:
        mirror: probability of turning left to right, with the FDI numbers changed to match.
        remove_teeth: probability of painting some of the teeth over, from one to nearly all; only where they have
            numbers, by which they are told apart.
        implants: where teeth are painted over, probability that implants and bridges take the place of some.
        crowns: probability of putting bright crowns on some of the teeth.
        wide: how many times smaller than by 1 the middle of the picture is drawn, as a machine with a wider field shows
            the jaws; down half as much. What is beside the jaws is stretched to fill the rest.
        rotate: degrees.
        scale, aspect: share of the size.
        translate: share of a side.
        shear: share.
        elastic: largest shift of a coarse grid's points, as a share of the height.
        gamma: largest natural logarithm of the exponent.
        contrast, brightness: share of the range.
        noise: standard deviation as a share of the range.
        blur: standard deviation in pixels of a 256 x 512 picture.
        ramp: how much darker one end may be than the other.
        local_contrast, sharpen, negative, jpeg: probability.
    """

    mirror: float = Field(default=0.0, ge=0, le=1)
    remove_teeth: float = Field(default=0.0, ge=0, le=1)
    implants: float = Field(default=0.0, ge=0, le=1)
    crowns: float = Field(default=0.0, ge=0, le=1)
    rotate: float = Field(default=0.0, ge=0, le=45)
    wide: float = Field(default=0.0, ge=0, le=0.5)
    scale: float = Field(default=0.0, ge=0, lt=1)
    aspect: float = Field(default=0.0, ge=0, lt=1)
    translate: float = Field(default=0.0, ge=0, lt=1)
    shear: float = Field(default=0.0, ge=0, lt=1)
    elastic: float = Field(default=0.0, ge=0, lt=0.2)
    gamma: float = Field(default=0.0, ge=0, le=2)
    contrast: float = Field(default=0.0, ge=0, lt=1)
    brightness: float = Field(default=0.0, ge=0, lt=1)
    noise: float = Field(default=0.0, ge=0, lt=1)
    blur: float = Field(default=0.0, ge=0, le=5)
    ramp: float = Field(default=0.0, ge=0, lt=1)
    local_contrast: float = Field(default=0.0, ge=0, le=1)
    sharpen: float = Field(default=0.0, ge=0, le=1)
    negative: float = Field(default=0.0, ge=0, le=1)
    jpeg: float = Field(default=0.0, ge=0, le=1)


def _with_names(repeats: Any) -> Any:  # noqa: ANN401 - whatever the YAML file holds
    """Categories by name: YAML reads 5 as a number."""
    return {str(category): times for category, times in repeats.items()} if isinstance(repeats, dict) else repeats


Repeats = Annotated[dict[str, Annotated[int, Field(gt=0)]], BeforeValidator(_with_names)]


class Config(_Part):
    """A training run.

    Attributes:
        name: of the run's folder below `runs/`.
        seed: of the first weights, the order of the pictures and their changes.
        data: the pictures, by `kind`.
        network: what is trained.
        phases: input sizes in order, small first and the exported one last.
        optimiser: the step rule.
        scheduler: how the learning rate goes, by `name`.
        loss: what is made small.
        augmentation: how training pictures are changed.
        begin_with: folder of another run, or of a model package, whose weights this one begins with; None begins with
            random ones.
        frozen_statistics: whether batch normalisation keeps the means and variances that it begins with, as it must
            where the weights come from a package, directly or by way of another run.
        average_decay: decay of the moving average of the weights that is validated and exported; None keeps none.
        precision: `auto` takes bf16 where the processor multiplies it natively, and fp32 elsewhere.
        repeat: how often an epoch shows each training picture of a category; those not named are shown once.
        early_stopping: validations of the last phase without a better loss after which the run ends; the phases before
            it run to their ends, since losses of other sizes do not compare. None runs to the end.
        validate_every_epochs: a divisor of all epochs together, so that the last one is validated too.
        allow_leaks: whether the run was begun though splits may share a picture or a patient, as `--allow-leaks` asks.
        mean_share: share of the trained run's weights where the run is a mean of them and of those that it began with,
            as `panoseg average` writes it; None where it is to be trained, or was.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: Data
    network: Network = Network()
    phases: tuple[Phase, ...] = Field(min_length=1)
    optimiser: Optimiser
    scheduler: Scheduler
    loss: Loss = Loss()
    augmentation: Augmentation = Augmentation()
    begin_with: Folder | None = None
    repeat: Repeats = {}
    frozen_statistics: bool = False
    average_decay: float | None = Field(default=None, gt=0, lt=1)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    early_stopping: int | None = Field(default=None, gt=0)
    validate_every_epochs: int = Field(default=1, gt=0)
    allow_leaks: bool = False
    mean_share: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _plateau_sees_every_epoch(self) -> "Config":
        if isinstance(self.scheduler, Plateau) and self.validate_every_epochs != 1:
            raise ValueError("the plateau scheduler follows the validation loss: validate_every_epochs must be 1")
        return self

    @model_validator(mode="after")
    def _classes_that_the_data_tell(self) -> "Config":
        if isinstance(self.data, TuftsData) and self.network.classes != 2:
            raise ValueError("the Tufts masks tell no numbers: network.classes must be 2")
        return self

    @model_validator(mode="after")
    def _the_last_epoch_is_validated(self) -> "Config":
        # It is there that the learning rate has fallen, so best.ckpt would else be of weights that had yet to settle.
        if self.epochs % self.validate_every_epochs:
            raise ValueError(
                f"{self.epochs} epochs, validated every {self.validate_every_epochs}, would end with one that is not: "
                "the epochs of all phases together must be a multiple of validate_every_epochs"
            )
        return self

    @model_validator(mode="after")
    def _teeth_to_remove_have_numbers(self) -> "Config":
        if self.augmentation.remove_teeth and self.network.classes == 2:
            raise ValueError(
                "without numbers teeth are not told apart, and augmentation.remove_teeth would paint over all or none: "
                "it must be 0 where network.classes is 2"
            )
        return self

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def phase(self, epoch: int) -> Phase:
        """The phase that an epoch, counted from 0, belongs to; the last one for any epoch past the end."""
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase
            epoch -= phase.epochs
        return self.phases[-1]

    def begins_phase(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, is the first of a phase."""
        return epoch in itertools.accumulate((phase.epochs for phase in self.phases), initial=0)

    def to_yaml(self) -> str:
        """What a run's file would say of it; what is as by default and was never set is left out."""
        return yaml.safe_dump(self.model_dump(mode="json", exclude_unset=True), sort_keys=False)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one map, of which YAML readers silently take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - as PyYAML has it
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            # By what is written: 5 and "5" are one category.
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                fault = f"the key {key.value} stands here again; keep one"
                raise yaml.MarkedYAMLError(problem=fault, problem_mark=key.start_mark)
            seen.add(str(key.value))
        return node


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """What a YAML file holds.

    Raises:
        yaml.YAMLError: it is no YAML, or a key stands twice in one map.
        OSError, UnicodeDecodeError: it cannot be read.
    """
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader


def load_config(path: Path) -> Config:
    """Read a run's YAML file.

    Raises:
        ConfigError: no such file, no YAML, an unknown key or one that stands twice, or a value out of range; the
            message names the key.
    """
    try:
        return Config.model_validate(read_yaml(path))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no configuration {path}.") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; a YAML file is wanted.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{path} cannot be used: {tell_faults(error)}.") from error


def tell_faults(error: ValidationError) -> str:
    """What a file's content should have been, key by key, for the first few keys."""
    faults = [f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()]
    more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
    return "; ".join([*faults[:_SHOWN], *more])
