"""The submission is no ordinary file, or lies in a folder with a strange name."""
import os
import socket

from .base import Attack


def place(name, tries, make, proof, **more):
    return Attack("links", name, tries, b"", proof=proof, place=make, honest={"softmax": 0, "predict": 0}, **more)


def link(path, neighbour):
    path.symlink_to(neighbour)


def hard_link(path, neighbour):
    os.link(neighbour, path)


def linked_folder(path, neighbour):
    path.parent.rmdir()
    path.parent.symlink_to(neighbour.parent)


def relative(path, neighbour):
    path.symlink_to(f"../neighbour/../neighbour/{neighbour.name}")


def chain(path, neighbour):
    (path.parent / "one").symlink_to(neighbour)
    path.symlink_to("one")


def fifo(path, neighbour):
    os.mkfifo(path)


def device(path, neighbour):
    path.symlink_to("/dev/zero")


def folder(path, neighbour):
    path.mkdir()


def loop(path, neighbour):
    path.symlink_to(path.name)


def nowhere(path, neighbour):
    path.symlink_to("/nonexistent/notebook.ipynb")


def sparse(path, neighbour):
    with open(path, "wb") as f:
        f.truncate(6 << 30)


def listening(path, neighbour):
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path.name)
    finally:
        os.chdir(here)


def input_of_grader(path, neighbour):
    path.symlink_to("/proc/self/environ")


ATTACKS = [
    place("link", "the file is a link to another student's work", link, "points"),
    place("relative link", "the link has no absolute path", relative, "points"),
    place("link to a link", "the link leads to a link", chain, "points"),
    place("hard link", "the file is a second name of another student's work", hard_link, "points", waits=True),
    place("linked folder", "the student's folder is a link to another student's", linked_folder, "points"),
    place("pipe", "opening the file waits for ever", fifo, "stopped"),
    place("device", "the file has no end", device, "stopped"),
    place("folder", "the notebook is a folder", folder, "stopped"),
    place("link to itself", "the link never ends", loop, "stopped"),
    place("link to nowhere", "the link leads nowhere", nowhere, "stopped"),
    place("huge", "the file has 6 GB of zeros", sparse, "stopped"),
    place("socket", "the file is a socket", listening, "stopped"),
    place("grader's own data", "the link leads to the grader's environment", input_of_grader, "stopped"),
]
