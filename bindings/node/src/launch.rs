//! How this Node becomes the launcher of a stdio server.
//!
//! The platform runs each stdio server below a small process that ends it, and all it started, also when the
//! platform was killed. That process is this Node again, with this module and nothing else: it starts without
//! environment.

use mcp_automation::fleet::launcher::{self, Launcher};
use napi::bindgen_prelude::{Env, JsObjectValue as _, Object};
use napi_derive::napi;

const LINE: &str = "require(process.argv[1])._runLauncher()";

/// This Node, told to be a launcher.
pub(crate) fn command(env: &Env) -> napi::Result<Launcher> {
    let process: Object<'_> = env.get_global()?.get_named_property("process")?;
    let node: String = process.get_named_property("execPath")?;
    let url = env.get_module_file_name()?;
    let module = url.strip_prefix("file://").unwrap_or(&url);
    let args = ["-e", LINE, module].map(str::to_owned).into();
    Ok(Launcher::Command { program: node.into(), args })
}

/// Acts as the launcher of a stdio server, then ends the process: all that a process is started for with the
/// command that this module gives the platform as its launcher.
#[napi(js_name = "_runLauncher", skip_typescript)]
pub fn run_launcher() {
    std::process::exit(launcher::run());
}
