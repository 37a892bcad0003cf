"""Links for a class: nbgitpuller, which copies a repository into a student's JupyterHub and keeps it up to date."""

from urllib.parse import quote, urlencode, urlsplit

from retina_kit.errors import UsageError


def pull_link(hub: str, repository: str, branch: str, notebook: str) -> str:
    """Return the link that pulls a repository into a JupyterHub with nbgitpuller and opens one of its notebooks.

    >>> pull_link("https://hub.example.edu/", "https://github.com/me/kit", "main", "notebooks/01.ipynb").split("?")[0]
    'https://hub.example.edu/hub/user-redirect/git-pull'
    """
    for name, address in (("--hub", hub), ("--repo", repository)):
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
            raise UsageError(f"{name} {address!r} is not an address; expected one such as https://hub.example.edu")
    folder = urlsplit(repository).path.rstrip("/").removesuffix(".git").split("/")[-1]
    if not folder:
        raise UsageError(f"--repo {repository!r} names no repository")
    query = {"repo": repository, "branch": branch, "urlpath": f"lab/tree/{folder}/{notebook}"}
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query, quote_via=quote, safe='')}"
