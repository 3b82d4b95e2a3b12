//! The commands in the README do what it says that they do.

use super::run;
use super::support::PATIENCE;
use super::support::playhouse::{Server, playhouse};
use super::support::process::Process;

const README: &str = include_str!("../../../README.md");

#[test]
fn the_commands_in_the_readme_work_as_written() {
    let lines: Vec<(&str, &str)> = README
        .lines()
        .filter(|line| line.starts_with("playhouse "))
        .map(|line| line.split_once('#').unwrap_or((line, "")))
        .map(|(command, comment)| (command.trim().trim_end_matches('&').trim(), comment.trim()))
        .collect();
    let mut servers = Vec::new();
    let mut workers = Vec::new();
    let mut called = 0;
    for (command, comment) in &lines {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        // As written but for the port, which another test may have.
        let at = |servers: &[Server]| ["--broker".to_owned(), servers[0].endpoint.clone()];
        match words[0] {
            "broker" => {
                servers.push(Server::broker(&words[1..]));
                let address = comment.strip_prefix("listening on ").unwrap();
                let help = run(&["broker", "--help"]).lines.join("\n");
                assert!(help.contains(&format!("[default: {address}]")), "{help}");
            }
            "worker" => {
                let split = words.iter().position(|word| *word == "--").unwrap();
                let mut command = playhouse(&words[..split]);
                workers.push(Process::start(command.args(at(&servers)).args(&words[split..])));
            }
            "call" => {
                let printed = Process::start(playhouse(&words).args(at(&servers))).succeeded(PATIENCE);
                assert_eq!(printed, [*comment], "{command}");
                called += 1;
            }
            "services" => {
                let table = Process::start(playhouse(&words).args(at(&servers))).succeeded(PATIENCE);
                assert!(table[1].starts_with("shout "), "{table:?}");
            }
            other => panic!("the README has a command that is not tried here: `{other}`"),
        }
    }
    assert!(!servers.is_empty() && !workers.is_empty() && called > 0, "{lines:?}");
}

#[test]
fn every_option_and_command_in_the_readme_is_there() {
    let text = README.split("## Services behind a broker").nth(1).unwrap().split("\n## ").next().unwrap();
    let help: String = ["broker", "call", "reply", "worker", "registry", "services", "keys new"]
        .iter()
        .flat_map(|command| run(&command.split(' ').chain(["--help"]).collect::<Vec<_>>()).lines)
        .collect();
    let options: Vec<&str> =
        text.split(['`', ' ', '\n', ',']).filter(|word| word.len() > 2 && word.starts_with("--")).collect();
    for option in options.iter().filter(|option| !["--path", "--example"].contains(option)) {
        assert!(help.contains(option), "{option}");
    }
    let commands = text.split("`playhouse ").skip(1).filter_map(|rest| rest.split(['`', ' ']).next());
    for command in commands {
        assert_eq!(run(&[command, "--help"]).code, Some(0), "{command}");
    }
}
