//! Two network namespaces with a link between them that can be cut. Root alone may make such.

use std::process::Command;

/// The address of the first one's end.
pub(crate) const NEAR: &str = "192.0.2.1";

/// The address of the other one's end.
pub(crate) const FAR: &str = "192.0.2.2";

/// Two namespaces, which go with this value.
pub(crate) struct Namespaces {
    near: String,
    far: String,
}

impl Namespaces {
    /// Makes them; none where this system or this user cannot.
    pub(crate) fn new() -> Option<Self> {
        let id = std::process::id();
        let names = Self { near: format!("playhouse-{id}-near"), far: format!("playhouse-{id}-far") };
        let (near, far) = (names.near.as_str(), names.far.as_str());
        let link = ["link", "add", "near", "netns", near, "type", "veth", "peer", "name", "far", "netns", far];
        let is_made = ip(&["netns", "add", near])
            && ip(&["netns", "add", far])
            && ip(&link)
            && ip(&["-n", near, "address", "add", &format!("{NEAR}/24"), "dev", "near"])
            && ip(&["-n", far, "address", "add", &format!("{FAR}/24"), "dev", "far"])
            && ip(&["-n", near, "link", "set", "near", "up"])
            && ip(&["-n", far, "link", "set", "far", "up"]);
        is_made.then_some(names)
    }

    /// Returns `command` as it is run in the first one.
    pub(crate) fn near(&self, command: &Command) -> Command {
        within(&self.near, command)
    }

    /// Returns `command` as it is run in the other one.
    pub(crate) fn far(&self, command: &Command) -> Command {
        within(&self.far, command)
    }

    /// Takes the link away: what is sent is lost, and nobody is told.
    pub(crate) fn cut(&self) {
        assert!(ip(&["-n", &self.near, "link", "set", "near", "down"]));
    }

    pub(crate) fn mend(&self) {
        assert!(ip(&["-n", &self.near, "link", "set", "near", "up"]));
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.near]);
        ip(&["netns", "delete", &self.far]);
    }
}

fn within(namespace: &str, command: &Command) -> Command {
    let mut inside = Command::new("ip");
    inside.args(["netns", "exec", namespace]).arg(command.get_program()).args(command.get_args());
    inside
}

fn ip(words: &[&str]) -> bool {
    Command::new("ip").args(words).output().is_ok_and(|output| output.status.success())
}
