"""A command that is to run in a container: what datalad-container is configured to make of it.

``datalad containers-run`` wraps a command in the call format of its container, and records
the wrapped command with the image among the extra inputs. So do we, so that core's ``rerun``
can run such a record as well. Unlike there, values that a shell would split are quoted.
"""

from __future__ import annotations

import json
import os
import posixpath
import secrets
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from datalad_hpc.commit.digests import digest
from datalad_hpc.errors import BadRequest
from datalad_hpc.job import Request
from datalad_hpc.placeholders import fill, fill_shell_text, is_submission
from datalad_hpc.retrieving import install
from datalad_hpc.workplace import Workplace

NAME_VARIABLE = "DATALAD_CONTAINER_NAME"
"""Variable in which containers-run tells a call format's own programs which container it is."""


@dataclass(frozen=True)
class Container:
    """A container as datalad-container knows it."""

    name: str
    """As in ``datalad containers-list -r``: ``tool``, or ``sub/tool`` in a subdataset."""
    dataset: str
    """The dataset that configures it, relative to the root; empty for the root itself."""
    image: str
    """Relative to the root, as all paths here POSIX."""
    call_format: str
    """Empty where the image itself is the program."""
    extra_inputs: tuple[str, ...]
    """What a call needs besides, with placeholders."""


def contained(workplace: Workplace, request: Request, name: str) -> Request:
    """A request whose command runs in a container.

    Parameters
    ----------
    request:
      With the plain command; its placeholders stay as they are.
    name:
      The container's name, or the path of its image relative to the root.

    Raises
    ------
    BadRequest
      There is no such container, its configuration cannot be used, or the command submits jobs
      itself.
    """
    if request.submits or is_submission(request.command):
        raise BadRequest(
            f"the container {name!r} is for a command that runs as the job, and "
            f"`{request.command}` submits jobs itself; leave out -n and call the container in the "
            "batch script, or give the command that is to run in it"
        )
    container = find(workplace, name)
    paths = _paths(container, request.folder)
    return replace(
        request,
        command=wrapped(container, paths, request.command),
        container=container.name,
        extra_inputs=(paths["img"], *_extra_inputs(container, paths)),
    )


def setup_of(request: Request) -> str:
    """What the job's script does before its command for the sake of the container."""
    if not request.container:
        return ""
    return f"export {NAME_VARIABLE}={shlex.quote(request.container)}"


def container_facts(workplace: Workplace, request: Request) -> dict[str, Any]:
    """Which image a job runs in, for the record; empty where it runs in none.

    A subdataset that holds the image is installed, without its content.

    Returns
    -------
    dict
      ``container`` with its ``name``, its ``image`` relative to the root, and the image's
      ``digest`` (:func:`.digest`).
    """
    if not (request.container and request.extra_inputs):
        return {}
    image = posixpath.normpath(posixpath.join(request.folder, request.extra_inputs[0]))
    if not os.path.lexists(workplace.root / image):
        install(workplace, [image])
    facts = {"name": request.container, "image": image, "digest": digest(workplace.root, image)}
    return {"container": facts}


def _paths(container: Container, folder: str) -> dict[str, str]:
    """What the placeholders of paths stand for, as seen from the folder of the command."""
    image = posixpath.relpath(container.image, folder or ".")
    return {
        "img": image,
        "img_dspath": posixpath.relpath(container.dataset or ".", folder or "."),
        "img_dirpath": posixpath.dirname(image) or ".",
    }


def wrapped(container: Container, paths: Mapping[str, str], command: str) -> str:
    """The container's call format with a command in it, whose placeholders are filled later.

    Parameters
    ----------
    paths:
      ``img``, ``img_dspath`` and ``img_dirpath`` as seen from the folder of the command.
    command:
      A text for a shell.

    Raises
    ------
    BadRequest
      The call format cannot be used.
    """
    values = {**paths, "python": sys.executable}
    if not container.call_format:
        # Without a slash a shell would look for it on PATH.
        values["img"] = posixpath.join(paths["img_dirpath"], posixpath.basename(paths["img"]))
    call_format = container.call_format or "{img} {cmd}"
    _refuse_old(container)
    # The command is a shell's text already, in which placeholders are filled later.
    mark = secrets.token_hex(8)
    try:
        if all(map(_is_plain, values.values())):
            text = fill(call_format, {**values, "cmd": mark})
        else:
            doubled = {name: _brace_doubled(value) for name, value in values.items()}
            text = fill_shell_text(call_format, {**doubled, "cmd": mark})
    except BadRequest as error:
        raise BadRequest(
            f"the call format of the container {container.name!r} cannot be used: {error}; "
            f"`datalad containers-add --update --call-fmt` mends it"
        ) from error
    return text.replace(mark, command)


def _is_plain(value: str) -> bool:
    """Whether it means itself to a shell, be it in quotes or not, and has no placeholder."""
    return shlex.quote(value) == value


def _brace_doubled(value: str) -> str:
    return value.replace("{", "{{").replace("}", "}}")


def _refuse_old(container: Container) -> None:
    if container.call_format.startswith("["):
        try:
            json.loads(container.call_format)
        except ValueError:
            return
        raise BadRequest(
            f"the call format of the container {container.name!r} is a list, as early versions of "
            "datalad-container had it; `datalad containers-add --update --call-fmt` with a line of "
            "text mends it"
        )


def _extra_inputs(container: Container, paths: Mapping[str, str]) -> Iterator[str]:
    known = {name: paths[name] for name in ("img_dspath", "img_dirpath")}
    for extra_input in container.extra_inputs:
        try:
            yield fill(extra_input, known)
        except BadRequest as error:
            raise BadRequest(
                f"the extra input of the container {container.name!r} cannot be used: {error}; "
                "`datalad containers-add --update --extra-input` mends it"
            ) from error


def find(workplace: Workplace, name: str) -> Container:
    """The container of a name.

    Subdatasets on the way to it are installed, without their content.

    Raises
    ------
    BadRequest
      There is none, or its image is no part of the dataset.
    """
    found = _found(workplace, workplace.dataset, "", name) if name else None
    if found is None:
        raise BadRequest(_unknown(workplace, name))
    if os.path.isabs(found.image) or f"{found.image}/".startswith("../"):
        raise BadRequest(
            f"the image {found.image} of the container {name!r} lies outside of the dataset at "
            f"{workplace.root}, so no clone would have it; add it with `datalad containers-add`"
        )
    return found


def _found(workplace: Workplace, dataset: Any, above: str, name: str) -> Container | None:
    """Look in a dataset, and in those below it whose name or path the wanted one begins with."""
    from datalad_container.utils import get_container_configuration

    known = get_container_configuration(dataset)
    for own, options in known.items():
        if "image" in options and name in (own, options["image"]):
            return _container(above, own, options)
    if "/" not in name:
        return None
    from datalad.local.subdatasets import Subdatasets

    for subdataset in Subdatasets()(
        dataset=dataset, result_renderer="disabled", return_type="list"
    ):
        called = subdataset["gitmodule_name"]
        path = os.path.relpath(subdataset["path"], dataset.path)
        for beginning in {f"{called}/", f"{path}/"}:
            if name.startswith(beginning):
                below = posixpath.join(above, path)
                found = _found_below(workplace, below, name.removeprefix(beginning))
                if found:
                    return replace(found, name=f"{called}/{found.name}")
    return None


def _found_below(workplace: Workplace, path: str, name: str) -> Container | None:
    from datalad.distribution.dataset import Dataset

    dataset = Dataset(os.path.join(workplace.dataset.path, path))
    if not dataset.is_installed():
        install(workplace, [path])
    if not dataset.is_installed():
        raise BadRequest(
            f"the container {name!r} would be in the subdataset {path}, which could not be "
            f"installed; `datalad get -n {shlex.quote(path)}` says why"
        )
    return _found(workplace, dataset, path, name)


def _container(above: str, name: str, options: Mapping[str, Any]) -> Container:
    # What is set several times comes as all its values, of which Git takes the last.
    one = {key: value[-1] if isinstance(value, tuple) else value for key, value in options.items()}
    extra_inputs = options.get("extra-input", ())
    return Container(
        name=name,
        dataset=above,
        image=posixpath.normpath(posixpath.join(above, one["image"])),
        call_format=one.get("cmdexec", ""),
        extra_inputs=(extra_inputs,) if isinstance(extra_inputs, str) else tuple(extra_inputs),
    )


def _unknown(workplace: Workplace, name: str) -> str:
    """Why there is no such container, with those that there are."""
    from datalad_container.containers_list import ContainersList

    listed = ContainersList()(
        dataset=workplace.dataset,
        recursive=True,
        on_failure="ignore",
        result_renderer="disabled",
        return_type="list",
    )
    names = ", ".join(sorted(found["name"] for found in listed if found["status"] == "ok"))
    known = f"known are {names}" if names else "none is known"
    return (
        f"there is no container {name!r} in {workplace.root} or in its installed subdatasets; "
        f"{known}; `datalad containers-add` adds one"
    )
