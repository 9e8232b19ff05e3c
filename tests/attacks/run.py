"""Our judge, as the attacks meet it: one warm grader for all of them, as in a class. The one place that calls it."""
import json
import os
from contextlib import contextmanager
from dataclasses import replace

from course_lib.settings import read_settings

from .base import SECRET, adopting, course_path
from .exercise import CHAPTER, OURS

COURSE = read_settings(course_path())
LIMITS = replace(COURSE.grading, seconds_per_cell=1, seconds_per_check=1, seconds_per_submission=5, memory_mb=2048, processes=16, file_mb=4, reply_mb=2, notebook_mb=2)


@contextmanager
def judge(seed=7):
    """Two functions: `grade(bytes)` gives the outcomes of one submission, `grade_folder(root)` those of all students in root/submitted. The password is in our environment."""
    from course_lib.grading.grader import Grader
    os.environ["COURSE_SECRET"] = SECRET
    try:
        with adopting(), Grader(OURS, LIMITS) as grader:
            yield lambda data: grader.grade(data, seed), grade_folder
    finally:
        del os.environ["COURSE_SECRET"]


def grade_folder(root, workers=1):
    """Grade root/submitted/STUDENT into root/gradebook.db: student -> outcomes."""
    from course_lib.grading.classroom import find_submissions, grade_chapter
    from course_lib.grading.gradebook import Gradebook
    chapter = replace(COURSE.chapter(CHAPTER), root=root)
    chapter.solutions.parent.mkdir(exist_ok=True)
    chapter.solutions.write_text(json.dumps(OURS))
    return grade_chapter(chapter, find_submissions(root / "submitted", chapter), Gradebook(f"sqlite:///{root / 'gradebook.db'}"), LIMITS, workers=workers)
