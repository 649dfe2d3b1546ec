"""What a run says about settings though nothing about them is wrong."""

from configs.compose import compose
from configs.notices import notices


def test_what_kept_maps_leave_out_is_said() -> None:
    words = ["stage.context.maps=cached", "data.augment.color=0.4", "data.augment.rotation_deg=5"]
    (notice,) = notices(compose([*words, "data.augment.scale_min=1", "data.augment.scale_max=1"]))
    assert "of data.augment it leaves out rotation, color; stage.context.maps=computed" in notice
    assert notices(compose([*words, "stage.context.maps=computed"])) == []
    (notice,) = notices(compose([*words, "stage.context.maps=computed", "stage.context.kept_versions=2"]))
    assert notice == "stage.context.kept_versions=2: of maps=cached alone; this stage keeps none"
    versions = "stage.context.kept_versions=2"
    assert notices(compose([*words, versions])) == []
    assert notices(compose([*words, versions, "data.augment.class_balance=0.5"])) == []
    others = ["data.augment.gamma=0.4", "data.augment.vertical_mirror=true", "data.augment.class_balance=0.5"]
    (notice,) = notices(compose([*words, *others]))
    assert "it leaves out rotation, color, vertical_mirror, gamma; " in notice


def test_a_stage_may_be_shorter_than_its_warm_up_and_says_so() -> None:
    words = ["stage.joint.schedule.warmup_steps=20", "data.augment.color=0"]
    assert notices(compose([*words, "stage.joint.steps=20"])) == []
    (notice,) = notices(compose([*words, "stage.joint.steps=5"]))
    assert notice.startswith("stage.joint: the warm-up of 20 steps is longer than the stage's 5")


def test_a_stage_that_the_recipe_does_not_know_takes_defaults_and_says_so() -> None:
    words = ["experiment=kitti", "data.root=.", "model.pretrained=null"]
    assert notices(compose(words)) == []
    (notice,) = notices(compose([*words, "stages=[warmup,joint]"]))
    assert notice.startswith(
        "stage.warmup: the recipe leaves all of it at its defaults: 1000 steps of 8 images, sgd at"
    )
    assert notices(compose([*words, "stages=[warmup]", "stage.warmup.steps=9"])) == []
