//! A process that this one starts, and that ends with it.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A process that is ended where this value is dropped.
#[derive(Debug)]
pub(crate) struct Offspring {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Offspring {
    /// Starts this program again, with other words.
    pub(crate) fn again(words: &[&str]) -> io::Result<Self> {
        Self::start(Command::new(env::current_exe()?).args(words))
    }

    /// Starts any program.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            // It ends when this pipe does, so that none is left behind whatever becomes of the parent.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("a child has no standard output"))?;
        Ok(Self { child, output: BufReader::new(output) })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Says a line to the child.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let input = self.child.stdin.as_mut().ok_or_else(|| io::Error::other("a child has no standard input"))?;
        writeln!(input, "{line}")?;
        input.flush()
    }

    /// Reads the next line that the child has to say.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("a child ended before it was told to"));
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says a line to the parent.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

/// Ends this process when its standard input does.
pub(crate) fn end_with_parent() {
    std::thread::spawn(|| {
        // However it ends, the parent is gone.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}
