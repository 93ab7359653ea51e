//! Where the key and the platform come from, and whom TLS trusts.

use crate::support::{bare, running, said, tenant};

#[test]
fn a_key_comes_from_a_file_the_environment_or_the_command_line() {
    let running = running();
    let file = running.directory.join("operator.key");
    std::fs::write(&file, format!("{}\n", running.operator)).unwrap();
    let list = || {
        let mut command = bare();
        command.args(["tenants", "list", "--url", &running.http]);
        command
    };
    let file = file.to_str().unwrap();
    for mut command in [
        {
            let mut c = list();
            c.args(["--key-file", file]);
            c
        },
        {
            let mut c = list();
            c.env("MCPCTL_KEY_FILE", file);
            c
        },
        {
            let mut c = list();
            c.env("MCPCTL_KEY", &running.operator);
            c
        },
        {
            let mut c = list();
            c.args(["--key", &running.operator]);
            c
        },
        // What the command line says counts, whatever the environment says.
        {
            let mut c = list();
            c.args(["--key-file", file]).env("MCPCTL_KEY", "mcpo_wrong");
            c
        },
    ] {
        let done = command.output().unwrap();
        assert!(done.status.success(), "{command:?}: {}", said(&done));
    }
    let none = list().output().unwrap();
    assert_eq!(none.status.code(), Some(2));
    assert!(
        said(&none).contains("MCPCTL_KEY") && said(&none).contains("operator-key create"),
        "{}",
        said(&none)
    );
    let missing = list().args(["--key-file", "/no/such/file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("/no/such/file"));
}

#[test]
fn the_key_is_never_shown() {
    let running = running();
    for arguments in
        [&["--help"][..], &["tenants", "list"], &["tenants", "show", "no-such"], &["keys", "nonsense"]]
    {
        let done = bare()
            .args(arguments)
            .env("MCPCTL_KEY", &running.operator)
            .env("MCPCTL_URL", &running.http)
            .output()
            .unwrap();
        let shown = format!("{done:?}{}", String::from_utf8_lossy(&done.stdout));
        assert!(!shown.contains(&running.operator), "{arguments:?}");
    }
}

#[test]
fn a_certificate_is_trusted_where_it_is_named_and_not_otherwise() {
    let running = running();
    let list = || {
        let mut command = bare();
        command.args(["tenants", "list", "--url", &running.https]).env("MCPCTL_KEY", &running.operator);
        command
    };
    let trusted = list().arg("--ca").arg(&running.ca).output().unwrap();
    assert!(trusted.status.success(), "{}", said(&trusted));
    let unknown = list().output().unwrap();
    assert_eq!(unknown.status.code(), Some(6));
    assert!(said(&unknown).contains("certificate"), "{}", said(&unknown));
    let none =
        list().args(["--ca", running.directory.join("servers.json").to_str().unwrap()]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "{}", said(&none));
}

#[test]
fn the_url_of_the_mcp_endpoint_is_understood() {
    let running = running();
    let key = tenant("endpoint");
    let url = format!("{}/mcp", running.http);
    let done = bare().args(["servers", "list", "--url", &url]).env("MCPCTL_KEY", key).output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
}

#[test]
fn a_client_certificate_is_read_and_both_its_files_are_needed() {
    let running = running();
    let key = running.directory.join("key.pem");
    let list = |arguments: &[&str]| {
        let mut command = bare();
        command.args(["servers", "list", "--url", &running.https, "--ca", running.ca.to_str().unwrap()]);
        command.args(arguments).output().unwrap()
    };
    let (cert, key) = (running.ca.to_str().unwrap(), key.to_str().unwrap());
    // The platform asks for none, so that whoever comes without a key is nobody; that is its answer.
    let shown = list(&["--client-cert", cert, "--client-key", key]);
    assert_eq!(shown.status.code(), Some(3), "{}", said(&shown));
    for (arguments, words) in [
        (&["--client-cert", cert][..], "--client-key"),
        (&["--client-cert", cert, "--client-key", "/no/such/file"], "/no/such/file"),
        (&["--client-cert", key, "--client-key", key], "--client-cert"),
    ] {
        let refused = list(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {}", said(&refused));
        assert!(said(&refused).contains(words), "{arguments:?}: {}", said(&refused));
    }
}
