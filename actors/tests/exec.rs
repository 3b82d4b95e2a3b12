//! Programs of the system, for each event and for many.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(feature = "exec")]

use std::path::Path;
use std::time::{Duration, Instant};

use playhouse_actors::{Exec, ExecMode, ExecSettings};
use playhouse_engine::testing::{Probe, feed};
use playhouse_engine::{Error, Event, Format, Kind, Policy, Retry, assert_ledger};

const PATIENCE: Duration = Duration::from_secs(20);

fn settings() -> ExecSettings {
    ExecSettings::default()
}

fn lines() -> ExecSettings {
    ExecSettings {
        mode: ExecMode::Lines,
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_millis(20),
        ..settings()
    }
}

fn shell(script: &str, settings: ExecSettings) -> Exec {
    Exec::run(["sh", "-c", script], settings).unwrap()
}

async fn answer(exec: &Exec, event: Event) -> Result<Event, Error> {
    feed(exec, event).await.map(|mut outputs| outputs.remove(0).event)
}

async fn failure(exec: &Exec, event: Event) -> Error {
    answer(exec, event).await.unwrap_err()
}

/// Waits until no process of the group, whose id is in the file, is left but those that nobody has waited for.
async fn group_is_gone(file: &Path) {
    let group = std::fs::read_to_string(file).unwrap().trim().to_owned();
    let began = Instant::now();
    loop {
        let left = std::fs::read_dir("/proc").unwrap().filter(|process| {
            let stat = std::fs::read_to_string(process.as_ref().unwrap().path().join("stat")).unwrap_or_default();
            let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
            let words: Vec<_> = rest.split(' ').collect();
            words[0] != "Z" && words[2] == group
        });
        if left.count() == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "something of the group {group} is left");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_a_program_prints_is_the_answer() {
    let large = "x".repeat(900_000);
    for (command, payload, expected) in [
        (&["cat"][..], "tea\n", "tea\n"),
        (&["cat"], &large, &large),
        (&["tr", "a-z", "A-Z"], "tea", "TEA"),
        (&["printf", "%s", "{n} $HOME `id`"], "", "{n} $HOME `id`"),
    ] {
        let event = Event::new(payload.to_owned()).with_attribute("n", 1_i64);
        let came = answer(&Exec::run(command.to_owned(), settings()).unwrap(), event.clone()).await.unwrap();
        assert_eq!((came.id(), came.payload().format()), (event.id(), Format::TEXT));
        assert_eq!(came.payload().to_string(), expected);
        assert_eq!(came.attributes().integer("exec.status"), Some(0));
        assert_eq!(came.attribute("exec.stderr"), None);
    }
    let came = answer(
        &shell("printf '\\377'; echo noise >&2; exit 7", ExecSettings { success: vec![0, 7], ..settings() }),
        Event::new(""),
    )
    .await;
    let came = came.unwrap();
    assert_eq!((came.payload().format(), &came.payload().to_bytes()[..]), (Format::BYTES, &[0xff][..]));
    assert_eq!(came.attributes().integer("exec.status"), Some(7));
    assert_eq!(came.attributes().text("exec.stderr").as_deref(), Some("noise\n"));
}

#[tokio::test]
async fn what_goes_wrong_is_an_error_that_says_so() {
    let few = ExecSettings { largest_output: 1000, kept_errors: 100, ..settings() };
    for (script, kind, told) in [
        ("echo first >&2; echo 'went wrong' >&2; exit 3", Kind::Internal, "`sh` failed (exit status: 3): went wrong"),
        ("kill -9 $$", Kind::Internal, "`sh` failed (signal: 9 (SIGKILL))"),
        ("cat /dev/zero", Kind::TooLarge, "`sh` printed more than 1000 bytes"),
        (
            "head -c 10000000 /dev/zero | tr '\\0' x >&2; echo last >&2; exit 1",
            Kind::Internal,
            "`sh` failed (exit status: 1): last",
        ),
    ] {
        let error = failure(&shell(script, few.clone()), Event::new("")).await;
        // What stands before the last line of a flood is a part of it.
        let shown = error.to_string().replace(&"x".repeat(95), "");
        assert_eq!((error.kind(), &*shown), (kind, told), "{script}");
    }
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    let large = Event::new("x".repeat(5_000_000));
    for script in ["exec <&-; echo fine", "echo fine", "head -c 1 >/dev/null; echo fine"] {
        assert_eq!(answer(&shell(script, settings()), large.clone()).await.unwrap().payload().to_string(), "fine\n");
    }
    let brief = ExecSettings { time_out: Duration::from_millis(200), ..settings() };
    assert_eq!(failure(&shell("sleep 600", brief), large).await.kind(), Kind::Timeout);
}

#[tokio::test]
async fn what_takes_too_long_is_told_to_end_and_then_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let (group, told) = (folder.path().join("group"), folder.path().join("told"));
    let show = |path: &Path| path.display().to_string();
    for (name, script, is_told) in [
        ("ends when it is told", format!("trap 'touch {}; exit' TERM; sleep 600 & wait", show(&told)), true),
        ("hears nothing", "trap '' TERM; sleep 600 & (sleep 600 & sleep 600) & sleep 600".to_owned(), false),
        ("leaves its children behind", "(trap '' TERM; sleep 600) & sleep 600 & exit 0".to_owned(), false),
    ] {
        let settings = ExecSettings {
            time_out: Duration::from_millis(300),
            grace: Duration::from_millis(if is_told { 5000 } else { 100 }),
            ..settings()
        };
        let exec = shell(&format!("echo $$ > {}; {script}", show(&group)), settings);
        let began = Instant::now();
        let error = failure(&exec, Event::new("")).await;
        assert_eq!((error.kind(), error.message()), (Kind::Timeout, "`sh` took too long and was killed"), "{name}");
        assert!(began.elapsed() < Duration::from_secs(3), "{name}: {:?}", began.elapsed());
        group_is_gone(&group).await;
        assert_eq!(std::fs::remove_file(&told).is_ok(), is_told, "{name}");
    }
}

#[tokio::test]
async fn a_flow_that_is_aborted_takes_its_programs_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let group = folder.path().join("group");
    let script = format!("trap '' TERM; sleep 600 & echo $$ > {0}.part; mv {0}.part {0}; sleep 600", group.display());
    let exec = Probe::new(shell(&script, settings())).await.unwrap();
    exec.send(Event::new("")).await.unwrap();
    let began = Instant::now();
    while !group.exists() {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(exec);
    group_is_gone(&group).await;
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_when_the_actor_is_made() {
    for name in ["no-such-program", "/no/such/program", "", "/"] {
        let error = Exec::run([name], settings()).unwrap_err();
        let told = format!("expected a program, found none of the name `{name}`");
        assert_eq!((error.kind(), error.message()), (Kind::NotFound, &*told));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Exec::run([file.path().to_str().unwrap()], settings()).unwrap_err();
    assert_eq!(error.kind(), Kind::Forbidden);
    let wrong = ExecSettings { time_out: Duration::ZERO, placeholders: true, mode: ExecMode::Lines, ..settings() };
    assert_eq!(Exec::run(["cat"], wrong).unwrap_err().message().matches("`").count(), 6);
}

#[tokio::test]
async fn the_environment_is_what_the_settings_say_and_attributes_are_single_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ExecSettings {
        inherit: vec!["PATH".to_owned()],
        environment: [("TABLE".to_owned(), "7".to_owned())].into(),
        folder: Some(folder.path().to_owned()),
        ..settings()
    };
    let came = answer(&Exec::run(["env"], settings.clone()).unwrap(), Event::new("")).await.unwrap();
    let mut names: Vec<_> =
        came.payload().to_string().lines().map(|line| line.split('=').next().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names, ["PATH", "TABLE"]);
    let came = answer(&Exec::run(["pwd"], settings).unwrap(), Event::new("")).await.unwrap();
    let expected = folder.path().canonicalize().unwrap();
    assert_eq!(came.payload().to_string().trim(), expected.to_str().unwrap());

    let placeholders = ExecSettings { placeholders: true, ..self::settings() };
    let exec = Exec::run(["printf", "[%s]", "{a}", "--b={b}"], placeholders).unwrap();
    let event = Event::new("").with_attribute("a", "$(id); two  words").with_attribute("b", 3_i64);
    assert_eq!(answer(&exec, event).await.unwrap().payload().to_string(), "[$(id); two  words][--b=3]");
    assert_eq!(failure(&exec, Event::new("")).await.kind(), Kind::Malformed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    // Each ends when all have begun.
    let script = format!(
        "cd {}; read n; touch $n; until test $(ls | wc -l) -ge 100; do sleep 0.1; done; echo $n",
        folder.path().display()
    );
    let policy = Policy { workers: 100.into(), ..Policy::default() };
    let mut exec = Probe::with_policy(shell(&script, settings()), policy).await.unwrap();
    for number in 0..100 {
        exec.send(Event::new(format!("{number}\n"))).await.unwrap();
    }
    let mut came = Vec::new();
    for _ in 0..100 {
        came.push(exec.output().await.unwrap().payload().to_string().trim().parse::<u32>().unwrap());
    }
    came.sort_unstable();
    assert_eq!(came, (0..100).collect::<Vec<_>>());
    assert_ledger!(exec.stop().await.unwrap(), failed = 0);
}

#[tokio::test]
async fn a_program_that_goes_on_running_answers_each_line_by_one() {
    let script = "import os, sys
for line in sys.stdin: print(os.getpid(), line.strip().upper(), flush=True)";
    let mut exec = Probe::new(Exec::run(["python3", "-c", script], lines()).unwrap()).await.unwrap();
    let mut ids = Vec::new();
    for word in ["tea", "cake", ""] {
        exec.send(Event::new(word)).await.unwrap();
        let came = exec.output().await.unwrap().payload().to_string();
        let (id, said) = came.split_once(' ').unwrap();
        assert_eq!(said, word.to_uppercase());
        ids.push(id.to_owned());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    exec.send(Event::new("two\nlines")).await.unwrap();
    assert_eq!(exec.error().await.unwrap().error().unwrap().kind(), Kind::Unprocessable);
    assert_ledger!(exec.stop().await.unwrap(), failed = 1);
    assert!(!Path::new("/proc").join(&ids[0]).exists(), "it has ended with the flow, and was waited for");
}

#[tokio::test]
async fn one_that_ends_fails_its_event_and_another_takes_its_place() {
    let script = "while read line; do case $line in
die) echo 'no more tea' >&2; exit 1;;
flood) cat /dev/zero;;
sleep) sleep 600;;
twice) printf 'a\\nb\\n';;
*) echo $line;;
esac; done";
    let settings = ExecSettings { time_out: Duration::from_millis(700), grace: Duration::from_millis(100), ..lines() };
    let exec = shell(script, settings.clone());
    for (line, outcome) in [
        ("a", Ok("a")),
        ("die", Err("`sh` ended before it had answered: no more tea")),
        ("b", Ok("b")),
        ("flood", Err("`sh` printed more than 1048576 bytes")),
        ("sleep", Err("`sh` took too long and was killed")),
        ("c", Ok("c")),
        ("twice", Err("expected `sh` to answer by one line, found more")),
        ("d", Ok("d")),
    ] {
        let came = answer(&exec, Event::new(line)).await;
        let came = came.map(|event| event.payload().to_string()).map_err(|error| error.to_string());
        assert_eq!(came.as_ref().map(String::as_str).map_err(String::as_str), outcome, "{line}");
    }
    // With a retry in the policy, an event survives a program that ends.
    let folder = tempfile::tempdir().unwrap();
    let once =
        format!("read line; if mkdir {0}/once 2>/dev/null; then exit 1; fi; echo $line", folder.path().display());
    let policy = Policy { retry: Retry::attempts(3), ..Policy::default() };
    let mut exec = Probe::with_policy(shell(&once, settings), policy).await.unwrap();
    exec.send(Event::new("tea")).await.unwrap();
    assert_eq!(exec.output().await.unwrap().payload().to_string(), "tea");
    assert_ledger!(exec.stop().await.unwrap(), failed = 0);
}

#[tokio::test]
async fn a_program_that_sends_its_output_elsewhere_still_gets_its_whole_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept");
    let script = format!("exec >/dev/null 2>&1; sleep 0.2; cat >'{}'", file.display());
    let large = "x".repeat(900_000);
    answer(&shell(&script, settings()), Event::new(large.clone())).await.unwrap();
    assert!(std::fs::read_to_string(file).unwrap() == large);
}

#[tokio::test]
async fn one_that_answers_before_it_has_its_line_is_not_asked_again() {
    let script = "import os
while True: os.read(0, 1); os.write(1, b'early\\n')";
    let exec = Exec::run(["python3", "-c", script], lines()).unwrap();
    let error = failure(&exec, Event::new("x".repeat(900_000))).await;
    assert_eq!(error.message(), "expected `python3` to answer by one line, found more");
}

#[tokio::test]
async fn an_argument_that_no_program_can_have_is_told_from_a_program_that_does_not_start() {
    let exec = Exec::run(["echo", "{a}"], ExecSettings { placeholders: true, ..settings() }).unwrap();
    let error = failure(&exec, Event::new("").with_attribute("a", "x".repeat(1 << 20))).await;
    assert_eq!((error.kind(), error.message()), (Kind::TooLarge, "the arguments of `echo` are too long"));
}

#[tokio::test]
async fn what_a_program_left_behind_without_an_output_is_killed_too_when_it_took_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let group = folder.path().join("group");
    let script = format!(
        "echo $$ >'{}'; exec >/dev/null 2>&1; sh -c \"trap '' TERM; while :; do sleep 1; done\" & exec sleep 600",
        group.display()
    );
    let short = Duration::from_millis(300);
    let exec = shell(&script, ExecSettings { time_out: short, grace: short, ..settings() });
    assert_eq!(failure(&exec, Event::new("")).await.kind(), Kind::Timeout);
    group_is_gone(&group).await;
}
