//! A disk in memory that fails and crashes when it is told to.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::files::{File, Files};

/// A disk with one folder. A clone is the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Inner>>);

/// An open file of such a disk.
#[derive(Debug)]
pub(super) struct Open {
    disk: Disk,
    node: usize,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    nodes: Vec<Node>,
    /// How many changing operations there were.
    operations: u64,
    /// From which operation on everything fails.
    dies_at: Option<u64>,
    /// How many of the next syncs fail.
    failing_syncs: u32,
    /// How many of the next reads fail.
    failing_reads: u32,
    /// How many bytes there may be.
    room: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

impl Disk {
    /// Lets nobody use the disk for as long as the guard lives.
    pub(super) fn block(&self) -> impl Drop + '_ {
        self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(super) fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets everything fail from an operation on; what is written at that moment is written in part.
    pub(super) fn die_at(&self, operation: u64) {
        self.lock().dies_at = Some(operation);
    }

    pub(super) fn fail_syncs(&self, count: u32) {
        self.lock().failing_syncs = count;
    }

    pub(super) fn fail_reads(&self, count: u32) {
        self.lock().failing_reads = count;
    }

    /// Flips a bit behind the back of whoever uses the file.
    pub(super) fn flip(&self, name: &str, at: usize) {
        let mut inner = self.lock();
        let node = inner.names[name];
        inner.nodes[node].bytes[at] ^= 1;
    }

    /// Lets the disk be full at so many bytes.
    pub(super) fn limit(&self, room: Option<usize>) {
        self.lock().room = room;
    }

    pub(super) fn used(&self) -> usize {
        let inner = self.lock();
        inner.names.values().map(|node| inner.nodes[*node].bytes.len()).sum()
    }

    /// Returns what a kill leaves: all that was written.
    pub(super) fn after_kill(&self) -> Self {
        let mut inner = self.lock().clone();
        (inner.dies_at, inner.failing_syncs) = (None, 0);
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Returns what a power failure leaves: what was synced, and any part of the rest.
    pub(super) fn after_power_failure(&self, random: &mut fastrand::Rng) -> Self {
        let before = self.lock().clone();
        let mut names = before.synced_names.clone();
        for (name, node) in &before.names {
            if before.synced_names.get(name) != Some(node) && random.bool() {
                names.insert(name.clone(), *node);
            }
        }
        for name in before.synced_names.keys() {
            if !before.names.contains_key(name) && random.bool() {
                names.remove(name);
            }
        }
        let nodes = before.nodes.iter().map(|node| {
            let (short, long) = (node.synced.len(), node.bytes.len());
            let length = if short == long { short } else { random.usize(short.min(long)..=short.max(long)) };
            let mut bytes = node.synced.clone();
            bytes.resize(length, 0);
            // Pages are written in any order.
            for page in (0..length).step_by(16) {
                if random.bool() {
                    let page = page.min(long)..(page + 16).min(length).min(long);
                    bytes[page.clone()].copy_from_slice(&node.bytes[page]);
                }
            }
            Node { synced: bytes.clone(), bytes }
        });
        let nodes = nodes.collect();
        Self(Arc::new(Mutex::new(Inner { synced_names: names.clone(), names, nodes, ..Inner::default() })))
    }

    /// Returns the bytes of a file.
    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        let inner = self.lock();
        inner.nodes[inner.names[name]].bytes.clone()
    }

    /// Puts a file there as if it had always been there.
    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.lock();
        let node = inner.nodes.len();
        inner.nodes.push(Node { synced: bytes.clone(), bytes });
        inner.names.insert(name.into(), node);
        inner.synced_names.insert(name.into(), node);
    }
}

impl Inner {
    /// Counts an operation that changes something. Fails where the disk is dead.
    fn change(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.dies_at {
            Some(at) if self.operations > at => Err(io::Error::other("the disk is dead")),
            _ => Ok(()),
        }
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Files for Disk {
    type File = Open;

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Open> {
        let node = *self.lock().names.get(name).ok_or_else(not_found)?;
        Ok(Open { disk: self.clone(), node })
    }

    fn create(&self, name: &str) -> io::Result<Open> {
        let mut inner = self.lock();
        inner.change()?;
        let node = inner.nodes.len();
        inner.nodes.push(Node::default());
        inner.names.insert(name.into(), node);
        Ok(Open { disk: self.clone(), node })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        let node = inner.names.remove(from).ok_or_else(not_found)?;
        inner.names.insert(to.into(), node);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.names.remove(name).map(|_| ()).ok_or_else(not_found)
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.lock();
        inner.change()?;
        inner.synced_names = inner.names.clone();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("disk").join(name)
    }
}

impl File for Open {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.lock().nodes[self.node].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut inner = self.disk.lock();
        if inner.failing_reads > 0 {
            inner.failing_reads -= 1;
            return Err(io::Error::other("the disk cannot read"));
        }
        let bytes = &inner.nodes[self.node].bytes;
        let range = offset as usize..offset as usize + buffer.len();
        let found = bytes.get(range).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let used = self.disk.used();
        let mut inner = self.disk.lock();
        let outcome = inner.change();
        let room = inner.room.map_or(usize::MAX, |room| room.saturating_sub(used));
        let dies_now = inner.dies_at == Some(inner.operations - 1);
        let written = match outcome {
            Err(_) if !dies_now => 0,
            Err(_) => bytes.len() / 2,
            Ok(()) => bytes.len().min(room),
        };
        let node = &mut inner.nodes[self.node].bytes;
        let (start, end) = (offset as usize, offset as usize + written);
        node.resize(node.len().max(end), 0);
        node[start..end].copy_from_slice(&bytes[..written]);
        outcome?;
        if written < bytes.len() { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.change()?;
        inner.nodes[self.node].bytes.truncate(length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.lock();
        inner.change()?;
        if inner.failing_syncs > 0 {
            inner.failing_syncs -= 1;
            return Err(io::Error::other("the disk cannot write"));
        }
        let node = &mut inner.nodes[self.node];
        node.synced = node.bytes.clone();
        Ok(())
    }
}
