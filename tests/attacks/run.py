"""Our judge, as the attacks meet it. The one place that calls it."""
from dataclasses import replace

from course_lib.settings import read_settings

from .base import course_path
from .exercise import CHAPTER, OURS

COURSE = read_settings(course_path())
LIMITS = replace(COURSE.grading, seconds_per_cell=2, seconds_per_check=2, seconds_per_submission=8, memory_mb=2048, processes=16, file_mb=4, reply_mb=2, notebook_mb=2)


def grade(data, seed=7):
    """The outcomes of one submission."""
    from course_lib.grading.judge import grade_submission
    return grade_submission(data, OURS, seed, LIMITS)


def grade_folder(root):
    """Grade root/submitted/STUDENT into root/gradebook.db: student -> outcomes."""
    import json

    from course_lib.grading.classroom import find_submissions, grade_chapter
    from course_lib.grading.gradebook import Gradebook
    chapter = replace(COURSE.chapter(CHAPTER), root=root)
    chapter.solutions.parent.mkdir(exist_ok=True)
    chapter.solutions.write_text(json.dumps(OURS))
    return grade_chapter(chapter, find_submissions(root / "submitted", chapter, LIMITS.notebook_mb), Gradebook(f"sqlite:///{root / 'gradebook.db'}"), LIMITS)
