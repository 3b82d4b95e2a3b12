//! The examples `upload` and `live` as processes of their own, asked by curl and over a socket.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A running example. It is killed when the test ends, however it ends.
struct Running {
    process: Child,
    url: String,
}

impl Running {
    fn start(name: &str, words: &[&str]) -> Self {
        // The test runs from `target/PROFILE/deps`; cargo puts examples beside that.
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.set_file_name("examples");
        path.push(name);
        assert!(path.exists(), "`{}` is not built; `cargo build --examples` does that", path.display());
        let mut command = Command::new(path);
        let mut process = command.args(["--bind", "127.0.0.1:0"]).args(words).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url = first.trim_end().strip_prefix("listening on ").unwrap().to_owned();
        Self { process, url }
    }

    fn curl(&self, path: &str, words: &[&str]) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "30", "--path-as-is"]).args(words);
        command.arg(format!("{}{path}", self.url));
        command
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
fn told(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_file_is_put_into_the_folder_and_into_no_other() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("uploads");
    let service = Running::start("upload", &["--into", folder.to_str().unwrap()]);
    let film = parent.path().join("film");
    let bytes: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&film, &bytes).unwrap();
    let put = |name: &str| {
        let words = ["--upload-file", film.to_str().unwrap(), "--write-out", "%{http_code}"];
        told(service.curl(&format!("/files/{name}"), &words).output().unwrap())
    };
    assert_eq!(put("film.mkv"), "20000000 bytes\n201");
    assert!(fs::read(folder.join("film.mkv")).unwrap() == bytes);
    assert!(put("film.mkv").ends_with("409"));
    assert!(put("..%2Fescaped").ends_with("422"));
    let names = |path: &Path| {
        let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(
        (names(parent.path()), names(&folder)),
        (vec!["film".into(), "uploads".into()], vec!["film.mkv".into()])
    );
}

#[test]
fn ticks_come_on_an_event_stream_and_a_web_socket_is_opened() {
    let service = Running::start("live", &[]);
    let mut curl = service.curl("/ticks", &["--no-buffer"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(curl.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ticks: Vec<_> = lines.filter_map(|line| line.strip_prefix("data: tick ").map(str::to_owned)).take(2).collect();
    let ticks: Vec<u32> = ticks.iter().map(|tick| tick.parse().unwrap()).collect();
    assert_eq!(ticks[0] + 1, ticks[1]);
    curl.kill().unwrap();
    curl.wait().unwrap();

    let mut socket = TcpStream::connect(service.url.strip_prefix("http://").unwrap()).unwrap();
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let head = "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket";
    write!(socket, "{head}\r\n{key}\r\nSec-WebSocket-Version: 13\r\n\r\n").unwrap();
    let mut lines = BufReader::new(socket).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("HTTP/1.1 101"));
    // The answer to the key is RFC 6455's own example.
    assert!(lines.any(|line| line.eq_ignore_ascii_case("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}
