//! The launcher as a program of its own, for hosts whose executable is not their own.

fn main() {
    std::process::exit(mcp_automation::fleet::launcher::run());
}
