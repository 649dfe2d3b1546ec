"""What a look at a few files of a split tells before anything is trained. `audit.py` reads all of them."""

from data.dataset import FileSet, ImageSet
from data.names import IMAGE_SUFFIXES
from data.pixels import claimed_size

NUM_READ = 2  # samples that are read whole
MAX_HEADERS = 1000  # samples of which the sizes are compared, evenly spread over the split


def quick_check(images: ImageSet) -> None:
    """Read the first samples of a split, and of as many others as MAX_HEADERS the sizes that the files claim.

    Raises what reading a sample raises: DamagedFileError, and UserError for files that do not fit together.
    """
    for index in range(min(NUM_READ, len(images))):
        images.read(index)
    if not isinstance(images, FileSet) or not images.has_labels:
        return
    for index in range(0, len(images), -(-len(images) // MAX_HEADERS)):
        pair = images.pairs[index]
        image_px = claimed_size(pair.image)
        is_image = pair.label.suffix.lower() in IMAGE_SUFFIXES  # some labels are arrays, or parts of a file
        if image_px is None or (is_image and claimed_size(pair.label) != image_px):
            images.read(index)  # which knows whether that is wrong, and says so
