//! Who is let in, and what those are told who are not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::support::PATIENCE;
use super::support::playhouse::{Server, call, playhouse, worker};
use super::support::process::Process;
use super::{complains, run};

/// A folder of files of keys.
struct Keys(TempDir);

impl Keys {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Makes a file of keys, and returns the public one.
    #[track_caller]
    fn make(&self, name: &str, words: &[&str]) -> String {
        let mut command = playhouse(&["keys", "new", &self.path(name)]);
        Process::start(command.args(words)).succeeded(PATIENCE).remove(0)
    }

    /// Writes a file that only its owner can read.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

#[test]
fn with_curve_keys_all_of_it_works_and_who_is_not_allowed_is_told_soon() {
    let keys = Keys::new();
    // The client's file is made for one server and used for another, to which it is allowed.
    let any = keys.make("any.toml", &["--allow", "any"]);
    let client = keys.make("client.toml", &["--server", &any]);
    let server = keys.make("server.toml", &["--allow", &client]);
    let text = fs::read_to_string(keys.path("client.toml")).unwrap();
    let allowed = keys.write("allowed.toml", &text.replace(&any, &server));
    keys.make("stranger.toml", &["--server", &server]);

    let broker = Server::broker(&["--curve-keys", &keys.path("server.toml")]);
    let at = broker.endpoint.as_str();
    let with_keys = ["--curve-keys", allowed.as_str()];
    let _worker = worker("echo", at, &with_keys);
    assert_eq!(call("echo", "secret", at, &with_keys), ["secret"]);
    let table = run(&["services", "--broker", at, "--curve-keys", &allowed]);
    assert!(table.code == Some(0) && table.lines[1].starts_with("echo "), "{table:?}");

    let stranger = keys.path("stranger.toml");
    for command in [&["call", "echo", "x"][..], &["services"]] {
        let words = [command, &["--broker", at, "--curve-keys", &stranger, "--timeout", "1h"]].concat();
        complains(&words, 12, &[at, "does not let us in", "(forbidden)"]);
    }
    complains(&["call", "echo", "x", "--broker", at, "--timeout", "1h"], 12, &[at, "does not let us in", "CURVE"]);
    // Whoever takes the broker for another is not told, but it ends by the deadline all the same.
    let mistaken = keys.path("client.toml");
    let words = ["call", "echo", "x", "--broker", at, "--timeout", "300ms", "--curve-keys", &mistaken];
    complains(&words, 23, &["no broker could be reached", at]);
}

#[test]
fn with_plain_passwords_all_of_it_works_and_a_wrong_one_is_told_soon() {
    let keys = Keys::new();
    let users = keys.write("users.toml", "ada = \"right\"\n");
    let broker = Server::broker(&["--plain-users", &users]);
    let at = broker.endpoint.as_str();
    let ada = |words: &[&str], password: &str| {
        let mut command = playhouse(words);
        command.args(["--broker", at, "--plain-user", "ada"]).env("PLAYHOUSE_PASSWORD", password);
        command
    };
    let _worker = Process::start(ada(&["worker", "echo"], "right").args(["--", "cat"]));
    let called = Process::start(&mut ada(&["call", "echo", "plain"], "right")).succeeded(PATIENCE);
    assert_eq!(called, ["plain"]);
    let wrong = Process::start(&mut ada(&["call", "echo", "plain", "--timeout", "1h"], "wrong")).ended(PATIENCE);
    assert_eq!(wrong.code, Some(12), "{wrong:?}");
    assert!(wrong.complaints.contains("does not let us in"), "{wrong:?}");
    let empty = Process::start(&mut ada(&["call", "echo", "plain"], "")).ended(PATIENCE);
    assert_eq!(empty.code, Some(10), "{empty:?}");
    assert!(empty.complaints.contains("`PLAYHOUSE_PASSWORD`: expected a password"), "{empty:?}");
}

#[test]
fn a_password_comes_from_the_environment_alone() {
    let mut command = playhouse(&["call", "echo", "x", "--plain-user", "ada"]);
    let ended = Process::start(command.env_remove("PLAYHOUSE_PASSWORD")).ended(PATIENCE);
    let complaint = "error: expected the password in the environment variable `PLAYHOUSE_PASSWORD` (unauthorized)\n";
    assert_eq!((ended.code, ended.complaints.as_str()), (Some(11), complaint));
}

#[test]
fn files_of_secrets_are_looked_at_before_they_are_used() {
    let keys = Keys::new();
    let server = keys.make("server.toml", &["--allow", "any"]);
    keys.make("client.toml", &["--server", &server]);
    let (server, client) = (keys.path("server.toml"), keys.path("client.toml"));
    complains(&["broker", "--curve-keys", &client], 10, &[&client, "expected `allow`, for a server, found `server`"]);
    complains(
        &["call", "a", "--curve-keys", &server],
        10,
        &[&server, "expected `server`, for a client, found `allow`"],
    );
    fs::set_permissions(Path::new(&client), fs::Permissions::from_mode(0o644)).unwrap();
    complains(&["call", "a", "--curve-keys", &client], 12, &["others can read it", "found 644", "chmod 600"]);
    complains(&["call", "a", "--curve-keys", &keys.path("none")], 23, &["cannot be read: No such file"]);
    let users = keys.write("users.toml", "ada = 1\nbob = \"a b\"\n");
    complains(&["registry", "--plain-users", &users], 10, &["`ada`: expected a text", "`bob`: expected a password"]);
}

#[test]
fn what_is_open_to_the_network_needs_security_or_the_word_for_none() {
    for server in ["broker", "registry"] {
        complains(
            &[server, "--bind", "tcp://0.0.0.0:0"],
            12,
            &["`tcp://0.0.0.0:0` is open to the network", "--insecure"],
        );
    }
    let open = Server::broker_at("tcp://0.0.0.0:0", &["--insecure"]);
    assert!(open.endpoint.starts_with("tcp://0.0.0.0:"));
    let keys = Keys::new();
    keys.make("server.toml", &["--allow", "any"]);
    Server::broker_at("tcp://0.0.0.0:0", &["--curve-keys", &keys.path("server.toml")]);
}
