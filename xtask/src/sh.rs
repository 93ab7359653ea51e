//! Running programs: their output passes through, and a failure says which command it was.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Why a command of ours stopped, in words for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

/// What most functions here return.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure with its message.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts before an error what was being done.
pub(crate) trait Context<T> {
    /// Turns the error into a [`Failure`] that begins with `doing`.
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure(format!("{doing}: {error}")))
    }
}

/// The workspace's root: where `cargo xtask` runs everything.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// What `cargo metadata` says of the workspace, as far as we ask.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    /// The members.
    pub(crate) packages: Vec<Package>,
    /// Where cargo builds.
    pub(crate) target_directory: PathBuf,
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its features, each with what it switches on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    /// Its `Cargo.toml`.
    manifest_path: PathBuf,
}

impl Package {
    /// A package of this name with these features.
    #[cfg(test)]
    pub(crate) fn named(name: &str, features: &[&str]) -> Self {
        let features = features.iter().map(|feature| ((*feature).to_owned(), Vec::new())).collect();
        Self { name: name.to_owned(), features, manifest_path: root().join(name).join("Cargo.toml") }
    }

    /// Whether it is one of the crates for others to build on: those in a folder of their name at the root.
    pub(crate) fn is_library(&self) -> bool {
        self.name.starts_with("mcp-") && self.manifest_path == root().join(&self.name).join("Cargo.toml")
    }
}

/// Asks cargo about the workspace.
///
/// # Errors
/// When cargo fails or answers in a form we do not know.
pub(crate) fn metadata() -> Result<Metadata> {
    let said = output(cargo().args(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    serde_json::from_str(&said).context("reading what `cargo metadata` wrote")
}

/// Runs to the end, output passed through.
///
/// # Errors
/// When the program cannot be started or does not exit with 0.
pub(crate) fn run(command: &mut Command) -> Result {
    let shown = show(command);
    println!("$ {shown}");
    let status = command.stdin(Stdio::null()).status().map_err(|error| cannot_start(&shown, &error))?;
    if status.success() { Ok(()) } else { Err(Failure(format!("`{shown}` failed ({status})"))) }
}

/// Runs to the end and returns standard output, trimmed; standard error passes through.
///
/// # Errors
/// When the program cannot be started, does not exit with 0, or writes something other than UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let done = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| cannot_start(&shown, &error))?;
    if !done.status.success() {
        return Err(Failure(format!("`{shown}` failed ({})", done.status)));
    }
    let text = String::from_utf8(done.stdout).context(format!("`{shown}` wrote no UTF-8"))?;
    Ok(text.trim_end().to_owned())
}

/// Where a program is in `PATH`, or in one of the further directories.
pub(crate) fn find(program: &str, further: &[PathBuf]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(further.iter().cloned())
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// The command as one would type it.
fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn cannot_start(shown: &str, error: &io::Error) -> Failure {
    Failure(format!("`{shown}` cannot be started: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_arguments() {
        let failure = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err().to_string();
        assert!(failure.contains("sh -c exit 3") && failure.contains('3'), "{failure}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = output(&mut Command::new("no-such-program-here")).unwrap_err().to_string();
        assert!(failure.contains("no-such-program-here"), "{failure}");
    }

    #[test]
    fn output_is_what_was_printed() {
        assert_eq!(output(Command::new("echo").arg("hello")).unwrap(), "hello");
    }

    #[test]
    fn find_looks_in_the_path_and_beyond() {
        assert!(find("sh", &[]).is_some());
        assert!(find("no-such-program-here", &[PathBuf::from("/usr/bin")]).is_none());
    }
}
