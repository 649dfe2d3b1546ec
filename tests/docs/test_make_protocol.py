"""The committed page of paper, code and this project is what the configs make of it."""

from assembly.protocol import recipe, rows, sources
from docs.make_protocol import PAGE, page
from models.frontend import FINAL_STD

ROOT = PAGE.parent.parent


def test_committed_page_is_the_one_that_the_configs_make() -> None:
    assert PAGE.read_text() == page(), "write it again: python docs/make_protocol.py"


def test_every_recipe_of_the_paper_has_a_section() -> None:
    assert all(f"\n## {name}\n" in PAGE.read_text() for name in sources()["recipes"])


def test_released_networks_are_what_the_code_is_said_to_do() -> None:
    table = PAGE.read_text().partition("## The released networks")[2]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    columns = {cells[0]: dict(zip(lines[0][1:], cells[1:], strict=True)) for cells in lines[2:]}
    networks = {
        "dilation8_voc": "voc_aug",
        "dilation8_camvid": "camvid",
        "dilation7_kitti": "kitti",
        "dilation10_cityscapes": "cityscapes",
    }
    assert columns["dilations"].keys() == networks.keys()
    for network, name in networks.items():
        code = {row.name.removeprefix("model.").removeprefix("context."): row.code for row in rows(recipe(name))}
        for figure in ("dilations", "head", "node_offset_px", "mean_rgb", "scale_rgb", "tile_input_px"):
            assert columns[figure][network] == code[figure], (network, figure)


def test_what_no_key_changes_is_where_the_page_says() -> None:
    facts = {fact["name"]: fact for fact in sources()["fixed"]}
    assert all((ROOT / fact["file"]).is_file() for fact in facts.values())
    assert f"std {FINAL_STD}," in facts["start of the classes' layer"]["says"]
