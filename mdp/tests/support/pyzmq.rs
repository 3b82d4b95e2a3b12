//! Peers that are made of libzmq: Python processes with pyzmq.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use bytes::Bytes;
use playhouse_mdp::protocol::Frames;
use playhouse_mdp::transport::Endpoint;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

/// The Python that has pyzmq, made at the first call.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/pyzmq");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "scripts/pyzmq failed");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end())
    })
}

/// A socket of libzmq that does what it is told. It is killed where it is dropped.
pub(crate) struct Puppet {
    pub(crate) address: Endpoint,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Puppet {
    pub(crate) async fn bind(kind: &str, address: &str, options: &[String]) -> Self {
        Self::new(kind, "bind", address, options).await
    }

    pub(crate) async fn connect(kind: &str, address: &Endpoint, options: &[String]) -> Self {
        Self::new(kind, "connect", &address.to_string(), options).await
    }

    async fn new(kind: &str, way: &str, address: &str, options: &[String]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/puppet.py");
        let mut child = tokio::process::Command::new(python())
            .arg(script)
            .args([kind, way, address])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = output.next_line().await.unwrap().expect("the puppet started").parse().unwrap();
        Self { address, input: child.stdin.take().unwrap(), output, _child: child }
    }

    pub(crate) async fn send(&mut self, message: &Frames) {
        assert_eq!(self.tell(&format!("send {}", hex(message))).await, "sent");
    }

    pub(crate) async fn receive(&mut self) -> Frames {
        let line = self.tell("receive").await;
        line.split(' ').map(unhex).collect()
    }

    pub(crate) async fn subscribe(&mut self, prefix: &str) {
        let prefix = hex(&vec![Bytes::copy_from_slice(prefix.as_bytes())]);
        assert_eq!(self.tell(&format!("subscribe {prefix}")).await, "subscribed");
    }

    async fn tell(&mut self, command: &str) -> String {
        self.input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        self.output.next_line().await.unwrap().expect("the puppet answered")
    }
}

fn hex(frames: &Frames) -> String {
    let frame = |frame: &Bytes| match frame.is_empty() {
        true => "-".to_owned(),
        false => frame.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    frames.iter().map(frame).collect::<Vec<_>>().join(" ")
}

fn unhex(text: &str) -> Bytes {
    if text == "-" {
        return Bytes::new();
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
