//! Wrong arguments are named with what was expected, and end the command with 2.

use super::{complains, run};

#[test]
fn every_wrong_argument_is_named_with_what_was_expected() {
    let forms = "expected `tcp://HOST:PORT`, `ipc://PATH` or `inproc://NAME`, found `nonsense`";
    let cases: [(&[&str], &[&str]); 19] = [
        (&[], &["Usage: playhouse <COMMAND>"]),
        (&["brocker"], &["unrecognized subcommand 'brocker'", "'broker'"]),
        (&["broker", "--bnd", "x"], &["unexpected argument '--bnd'", "'--bind'"]),
        (&["broker", "--bind", "nonsense"], &["--bind <ADDRESS>", forms]),
        (&["broker", "--bind", "inproc://x"], &["--bind <ADDRESS>", "which other processes can reach"]),
        (&["broker", "--drain", "soon"], &["--drain <TIME>", "expected a time such as `30s`, `500ms` or `2m`"]),
        (&["broker", "--registry-keys", "x"], &["--registry <ADDRESS>"]),
        (&["broker", "--advertise", "tcp://a:1"], &["--registry <ADDRESS>"]),
        (&["broker", "--curve-keys", "a", "--plain-users", "b"], &["'--curve-keys <FILE>'", "'--plain-users <FILE>'"]),
        (&["call"], &["<SERVICE>"]),
        (&["call", ""], &["<SERVICE>", "expected a service name of 1 to 255 bytes, found 0"]),
        (&["call", "a", "--broker", "tcp://127.0.0.1:0"], &["expected the host and port at which it listens"]),
        (&["call", "a", "--protocol", "0.3"], &["expected the version `0.1` or `0.2`"]),
        (&["call", "a", "--timeout", "1"], &["--timeout <TIME>", "expected a time"]),
        (&["call", "a", "--broker", "tcp://a:1", "--registry", "tcp://a:2"], &["'--broker <ADDRESS>'"]),
        (&["reply", "12"], &["<TICKET>", "expected a ticket of 32 hexadecimal digits"]),
        (&["worker", "a"], &["<COMMAND>..."]),
        (&["worker", "a", "--concurrency", "0", "--", "cat"], &["--concurrency <NUMBER>", "0 is not in 1..=65535"]),
        (&["keys", "new", "--allow", "abc"], &["--allow <KEY>", "neither `any` nor a key", "40 characters of Z85"]),
    ];
    for (words, parts) in cases {
        complains(words, 2, parts);
    }
}

#[test]
fn the_long_help_of_each_command_has_an_example() {
    for command in ["broker", "registry", "call", "reply", "worker", "services", "keys new", "completions"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = run(&words);
        assert_eq!(help.code, Some(0));
        let help = help.lines.join("\n");
        assert!(help.contains("\nExample") && help.contains("\n  playhouse") || help.contains("(playhouse"), "{help}");
    }
}

#[test]
fn a_shell_can_complete_the_commands() {
    let script = run(&["completions", "bash"]);
    assert!(script.code == Some(0) && script.lines.iter().any(|line| line.contains("--durable")));
}
