"""What a look at a few files of a split tells before anything is trained. `audit.py` reads all of them."""

from configs.errors import UserError
from data.dataset import FileSet, ImageSet
from data.labels import VOID
from data.names import IMAGE_SUFFIXES, readable
from data.pixels import claimed_size

NUM_READ = 2  # samples that are read whole
MAX_HEADERS = 1000  # samples of which the sizes are compared, evenly spread over the split


def quick_check(images: ImageSet) -> None:
    """Read the first samples of a split, and of as many others as MAX_HEADERS the sizes that the files claim.

    Raises what reading a sample raises: DamagedFileError, and UserError for files that do not fit together; also
    UserError where a file is image and label in one, or every pixel of every label is void. Where the first samples
    have nothing else, others are read, up to one that has.
    """
    _refuse_one_file(images)
    has_class = False
    for index in range(len(images)):
        if index >= NUM_READ and (has_class or not images.has_labels):
            break
        _, label_HW = images.read(index)
        has_class = has_class or bool((label_HW != VOID).any())
    if images.has_labels and not has_class:
        raise UserError(
            f"{images.describe()}: every pixel of every label is void, so nothing can be learned or scored; correct "
            "the labels, or the ids or colours that mean void"
        )
    if not isinstance(images, FileSet) or not images.has_labels:
        return
    for index in range(0, len(images), -(-len(images) // MAX_HEADERS)):
        pair = images.pairs[index]
        image_px = claimed_size(pair.image)
        is_image = pair.label.suffix.lower() in IMAGE_SUFFIXES  # some labels are arrays, or parts of a file
        if image_px is None or (is_image and claimed_size(pair.label) != image_px):
            images.read(index)  # which knows whether that is wrong, and says so


def _refuse_one_file(images: ImageSet) -> None:
    """A network that is given its own answer."""
    pairs = images.pairs if isinstance(images, FileSet) else ()
    same = next((pair.image for pair in pairs if pair.image == pair.label), None)
    if same is not None:
        raise UserError(
            f"{readable(same)} is image and label in one; data.folder.images and data.folder.labels must find "
            "different files; correct one of the two"
        )
