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
        let names = Self { near: format!("leader-{id}-near"), far: format!("leader-{id}-far") };
        let (near, far) = (names.near.as_str(), names.far.as_str());
        let link = ["link", "add", "near", "netns", near, "type", "veth", "peer", "name", "far", "netns", far];
        let is_made = ip(&["netns", "add", near])
            && ip(&["netns", "add", far])
            && ip(&link)
            && ip(&["-n", near, "address", "add", &format!("{NEAR}/24"), "dev", "near"])
            && ip(&["-n", far, "address", "add", &format!("{FAR}/24"), "dev", "far"])
            && ip(&["-n", near, "link", "set", "near", "up"])
            && ip(&["-n", far, "link", "set", "far", "up"])
            // Two members are there, and one reaches the other by their own address.
            && ip(&["-n", far, "link", "set", "lo", "up"]);
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

    /// Loses all that is sent from one to the other.
    pub(crate) fn cut(&self) {
        self.filter("add");
    }

    pub(crate) fn mend(&self) {
        self.filter("delete");
    }

    fn filter(&self, change: &str) {
        // The link itself stays up: without it the far end would lose its address, and both members there each other.
        let route = ["-n", &self.near, "route", change, "blackhole", &format!("{FAR}/32")];
        let back = ["-n", &self.far, "route", change, "blackhole", &format!("{NEAR}/32")];
        assert!(ip(&route) && ip(&back));
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
