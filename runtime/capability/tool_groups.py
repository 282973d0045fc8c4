"""The groups that a profile includes by name: what kinds of tools need of a home.

Loaded for a launch with a profile alone. What is not there is left out without a word, so a group names every
place that a tool has by default. XDG variables move them (:mod:`runtime.capability.grants`); what another one
moves (``CARGO_HOME``, …) is for a profile of one's own.

Three rules hold for what stands here. Nothing is granted for writing from which the user's shell, or a tool
as it starts, later runs code by itself: programs, plugins and settings are for reading, caches for writing.
What only lies among caches is for reading, too: virtual environments, package managers and build tools that a
shim or a wrapper starts, and pickles (Black's), which run code when they are read.
(An agent keeps its settings and its memory in one place; there it cannot be told apart.) A directory
that holds a denied file (``~/.cargo/credentials.toml``) is never granted as a whole. And what can hold a
password, without being denied (``~/.m2/settings.xml``), has a group of its own, which says so.

Caches are shared with what runs outside: what a command puts there, another build takes. ``docs/profiles.md``
says how to leave them out. Not among them are the places where daemons of build tools are found (Gradle's,
Bazel's): one that runs outside would do the command's work there, by a port that the sandbox leaves open.
"""

from __future__ import annotations

from runtime.capability.capabilities import Access
from runtime.capability.default_groups import DEFAULT_GROUPS, Group, granting

_READ, _READWRITE = Access.READ, Access.READWRITE

TOOL_GROUPS: tuple[Group, ...] = (
    # --- what every kind of work uses
    granting(
        "git_configuration",
        "git's settings of the user (they can hold tokens); without them git is told that there are none",
        (
            _READ,
            (
                *(
                    b"~/.gitconfig",
                    b"~/.config/git/config",
                    b"~/.config/git/ignore",
                    b"~/.config/git/attributes",
                ),
                *(b"~/.gitignore", b"~/.gitignore_global", b"~/.gitattributes"),
            ),
        ),
    ),
    granting(
        "user_programs",
        "programs that the user has installed for itself",
        (_READ, (b"~/.local/bin", b"~/bin", b"/home/linuxbrew/.linuxbrew")),
    ),
    granting(
        "version_managers",
        "asdf and mise: tools in the version that a project names (their settings can hold variables)",
        (
            _READ,
            (
                *(b"~/.asdf", b"~/.asdfrc", b"~/.tool-versions"),
                *(b"~/.config/mise", b"~/.local/share/mise", b"~/.local/state/mise"),
            ),
        ),
    ),
    # --- languages: what runs, and what is fetched and built once for all projects
    granting(
        "python_runtime",
        "Pythons of pyenv, uv, conda and the like, and the user's own packages",
        (
            _READ,
            (
                *(b"~/.pyenv", b"~/.python-version", b"~/.local/lib"),
                *(b"~/.local/share/uv/python", b"~/.local/share/uv/tools", b"~/.rye/config.toml"),
                *(b"~/.rye/shims", b"~/.rye/self", b"~/.rye/py", b"~/.rye/tools", b"~/.rye/uv"),
                *(b"~/.local/share/pipx", b"~/.local/share/virtualenvs", b"~/.virtualenvs", b"~/.local/pipx"),
                *(b"~/.conda", b"~/miniconda3", b"~/miniforge3", b"~/mambaforge"),
                *(b"~/anaconda3", b"~/micromamba", b"~/.local/share/hatch", b"~/.local/share/pdm"),
                *(b"~/.config/ruff", b"~/.config/matplotlib", b"~/.cache/pre-commit"),
                *(b"~/.cache/pypoetry/virtualenvs", b"~/.cache/black", b"~/.cache/pylint"),
            ),
        ),
    ),
    granting(
        "python_caches",
        "caches of pip, uv, poetry and other tools of Python",
        (
            _READWRITE,
            (
                *(
                    b"~/.cache/pip",
                    b"~/.cache/uv",
                    b"~/.cache/pypoetry/cache",
                    b"~/.cache/pypoetry/artifacts",
                ),
                *(b"~/.cache/pdm", b"~/.cache/hatch", b"~/.cache/pipenv", b"~/.cache/ruff", b"~/.cache/mypy"),
                *(b"~/.cache/matplotlib", b"~/.cache/pytest"),
            ),
        ),
    ),
    granting(
        "node_runtime",
        "Node of nvm, volta, fnm and the like, Bun, Deno, browsers for tests",
        (
            _READ,
            (
                *(b"~/.nvm", b"~/.nvmrc", b"~/.volta", b"~/.fnm", b"~/.local/share/fnm", b"~/.n"),
                *(b"~/.nodenv", b"~/.node-version", b"~/.npm-global", b"~/.npm-packages", b"~/.bun"),
                *(b"~/.deno", b"~/.yarn", b"~/.local/share/pnpm"),
                *(b"~/.cache/ms-playwright", b"~/.cache/puppeteer", b"~/.cache/Cypress"),
                *(b"~/.cache/node/corepack", b"~/.cache/prisma", b"~/.cache/esbuild"),
            ),
        ),
    ),
    granting(
        "node_caches",
        "caches of npm, yarn, pnpm, Bun and Deno",
        (
            _READWRITE,
            (
                *(b"~/.npm", b"~/.cache/node-gyp", b"~/.cache/yarn", b"~/.yarn/berry/cache"),
                *(b"~/.cache/pnpm", b"~/.local/share/pnpm/store", b"~/.local/state/pnpm"),
                *(b"~/.bun/install/cache", b"~/.cache/deno", b"~/.cache/turbo", b"~/.cache/typescript"),
            ),
        ),
    ),
    granting(
        "go_runtime",
        "Go where its own installer puts it, go env, and what go install has built",
        (
            _READ,
            (
                *(b"~/go/bin", b"~/sdk", b"~/.go", b"~/.gvm", b"~/.goenv", b"~/.local/go", b"~/.config/go"),
                *(b"~/.config/golangci-lint", b"~/.golangci.yml"),
            ),
        ),
    ),
    granting(
        "go_caches",
        "modules and what was compiled of them",
        (
            _READWRITE,
            (
                b"~/go/pkg",
                b"~/.cache/go-build",
                b"~/.cache/golangci-lint",
                b"~/.cache/gopls",
                b"~/.cache/staticcheck",
            ),
        ),
    ),
    granting(
        "rust_runtime",
        "rustup's toolchains and cargo's programs, but not its credentials",
        (
            _READ,
            (
                *(b"~/.rustup", b"~/.cargo/bin", b"~/.cargo/env", b"~/.config/rustfmt"),
                *(b"~/.cargo/.crates.toml", b"~/.cargo/.crates2.json"),
            ),
        ),
    ),
    granting(
        "rust_settings",
        "settings of cargo: registries and flags, and tokens if they were put there",
        (_READ, (b"~/.cargo/config", b"~/.cargo/config.toml")),
    ),
    granting(
        "rust_caches",
        "crates, and cargo's locks",
        (
            _READWRITE,
            (
                *(b"~/.cargo/registry", b"~/.cargo/git", b"~/.cargo/.package-cache"),
                *(b"~/.cargo/.package-cache-mutate", b"~/.cargo/.global-cache", b"~/.cargo/advisory-db"),
                *(b"~/.cache/sccache", b"~/.cache/cargo"),
            ),
        ),
    ),
    granting(
        "java_runtime",
        "JDKs and build tools: of SDKMAN, jenv, jabba, IDEs, Coursier, sbt, wrappers and the system",
        (
            _READ,
            (
                *(b"~/.sdkman", b"~/.jdks", b"~/.jenv", b"~/.jabba", b"~/.gradle/jdks", b"~/.mavenrc"),
                *(
                    b"~/.m2/toolchains.xml",
                    b"/etc/maven",
                    b"/etc/gradle",
                    b"~/.m2/wrapper",
                    b"~/.gradle/wrapper",
                ),
                *(b"~/.sbt/boot", b"~/.cache/coursier/arc", b"~/.cache/coursier/jvm"),
            ),
        ),
    ),
    granting(
        "java_settings",
        "settings of Maven and Gradle: mirrors and repositories, and passwords if they were put there",
        (
            _READ,
            (
                *(b"~/.m2/settings.xml", b"~/.m2/settings-security.xml"),
                *(b"~/.gradle/gradle.properties", b"~/.gradle/init.gradle", b"~/.gradle/init.gradle.kts"),
                b"~/.gradle/init.d",
            ),
        ),
    ),
    granting(
        "java_caches",
        "what Maven, Gradle, Coursier and sbt have fetched",
        (
            _READWRITE,
            (
                *(b"~/.m2/repository", b"~/.m2/build-cache", b"~/.gradle/caches", b"~/.gradle/native"),
                *(b"~/.gradle/notifications", b"~/.gradle/.tmp", b"~/.gradle/workers"),
                *(b"~/.ivy2/cache", b"~/.ivy2/local", b"~/.sbt/boot/sbt.boot.lock", b"~/.cache/coursier/v1"),
            ),
        ),
    ),
    # --- agents: their own settings, memory and credentials
    granting(
        "claude_code",
        "settings, memory and credentials of Claude Code",
        (
            _READWRITE,
            (
                *(b"~/.claude", b"~/.claude.json", b"~/.local/state/claude", b"~/.cache/claude"),
                b"~/.cache/claude-cli-nodejs",
            ),
        ),
        (_READ, (b"~/.local/share/claude",)),
    ),
    granting("codex", "settings, memory and credentials of Codex", (_READWRITE, (b"~/.codex",))),
    granting(
        "opencode",
        "settings, memory and credentials of opencode",
        (
            _READWRITE,
            (
                *(b"~/.config/opencode", b"~/.local/share/opencode", b"~/.local/state/opencode"),
                b"~/.cache/opencode",
            ),
        ),
        (_READ, (b"~/.opencode",)),
    ),
    Group(
        "deny_agent_credentials",
        "settings, memory and credentials of agents, for what is none",
        denies=(
            *(b".claude", b".claude.json", b".codex", b".config/opencode", b".local/share/opencode"),
            *(b".gemini", b".config/goose", b".aider*"),
        ),
    ),
)

GROUPS: dict[str, Group] = {group.name: group for group in (*DEFAULT_GROUPS, *TOOL_GROUPS)}
"""Every group, by its name."""
