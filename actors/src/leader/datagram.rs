//! What members tell each other, as bytes and back. Knows nothing of elections.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::settings::LeaderSettings;

const MAGIC: &[u8; 5] = b"PhLd\x02";
const TAG: usize = 32;
/// What stands before the names.
const HEAD: usize = 5 + 1 + 1 + 16 + 8 + 8 + 8 + 16 + 8 + 4 + 8;

/// No datagram is longer.
pub(super) const LONGEST: usize = HEAD + 2 * 256 + TAG;

const JOINS: u8 = 1;
const LEADS: u8 = 2;

/// Who a member is: chosen by chance at each start.
pub(super) type Instance = u128;

/// What one member tells all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: Instance,
    /// Grows with each message of an instance, so that none is taken twice or after a later one.
    pub(super) sequence: u64,
    /// When it was sent, by the sender's wall clock in milliseconds since 1970.
    pub(super) wall: u64,
    /// The term that is asked for or granted, or else the highest that is known.
    pub(super) term: u64,
    /// Whether the sender is too new to vote.
    pub(super) joins: bool,
    /// Whether the sender is the leader.
    pub(super) leads: bool,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// I am here.
    Here,
    /// Grant me the lease, or prolong it.
    Ask,
    /// You have my vote, by your message of that number.
    Grant { to: Instance, echo: u64 },
    /// I have voted in this term already: ask for a higher one.
    Deny { to: Instance },
    /// I do not want your votes any more.
    Release,
    /// I am going.
    Leave,
}

/// Why a datagram is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is of another service.
    Foreign,
    /// It is none of ours, or not whole, or its signature is wrong.
    Unreadable,
    /// A member has other settings: what it believes is not what is believed here.
    OtherSettings,
}

/// Writes and reads the datagrams of one service.
#[derive(Clone)]
pub(super) struct Codec {
    members: [u8; 4],
    lease: [u8; 8],
    /// Both names, each with its length before it.
    names: Vec<u8>,
    key: Option<Hmac<Sha256>>,
}

impl Codec {
    /// Makes the codec of a service; the settings were checked.
    pub(super) fn new(service: &str, members: Option<u32>, settings: &LeaderSettings) -> Self {
        let mut names = Vec::new();
        for name in [service, &settings.scope] {
            names.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            names.extend(name.as_bytes());
        }
        let lease = u64::try_from(settings.lease.as_micros()).unwrap_or(u64::MAX).to_be_bytes();
        // HMAC takes keys of any length.
        let key = settings.key.as_ref().and_then(|key| Hmac::new_from_slice(key.as_bytes()).ok());
        Self { members: members.unwrap_or(0).to_be_bytes(), lease, names, key }
    }

    pub(super) fn write(&self, message: &Message) -> Vec<u8> {
        let (kind, to, echo) = match message.what {
            What::Here => (0, 0, 0),
            What::Ask => (1, 0, 0),
            What::Grant { to, echo } => (2, to, echo),
            What::Deny { to } => (3, to, 0),
            What::Release => (4, 0, 0),
            What::Leave => (5, 0, 0),
        };
        let mut bytes = Vec::with_capacity(HEAD + self.names.len() + TAG);
        bytes.extend(MAGIC);
        bytes.push(kind);
        bytes.push(u8::from(message.joins) * JOINS + u8::from(message.leads) * LEADS);
        bytes.extend(message.from.to_be_bytes());
        bytes.extend(message.sequence.to_be_bytes());
        bytes.extend(message.wall.to_be_bytes());
        bytes.extend(message.term.to_be_bytes());
        bytes.extend(u128::to_be_bytes(to));
        bytes.extend(u64::to_be_bytes(echo));
        bytes.extend(self.members);
        bytes.extend(self.lease);
        bytes.extend(&self.names);
        if let Some(key) = &self.key {
            let tag = key.clone().chain_update(&bytes).finalize().into_bytes();
            bytes.extend(tag);
        }
        bytes
    }

    pub(super) fn read(&self, bytes: &[u8]) -> Result<Message, Refused> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Refused::Unreadable)?;
        let names = bytes.get(HEAD..).ok_or(Refused::Unreadable)?;
        let tag = names.strip_prefix(self.names.as_slice()).ok_or(Refused::Foreign)?;
        match &self.key {
            Some(key) => {
                let signed = &bytes[..bytes.len() - tag.len()];
                key.clone().chain_update(signed).verify_slice(tag).map_err(|_| Refused::Unreadable)?;
            }
            None if tag.is_empty() => {}
            None => return Err(Refused::Unreadable),
        }
        let mut reader = Reader(rest);
        let [kind, flags] = reader.take()?;
        let from = u128::from_be_bytes(reader.take()?);
        let sequence = u64::from_be_bytes(reader.take()?);
        let wall = u64::from_be_bytes(reader.take()?);
        let term = u64::from_be_bytes(reader.take()?);
        let to = u128::from_be_bytes(reader.take()?);
        let echo = u64::from_be_bytes(reader.take()?);
        if reader.take()? != self.members || reader.take()? != self.lease {
            return Err(Refused::OtherSettings);
        }
        let what = match kind {
            0 => What::Here,
            1 => What::Ask,
            2 => What::Grant { to, echo },
            3 => What::Deny { to },
            4 => What::Release,
            5 => What::Leave,
            _ => return Err(Refused::Unreadable),
        };
        Ok(Message { from, sequence, wall, term, joins: flags & JOINS != 0, leads: flags & LEADS != 0, what })
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refused> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Refused::Unreadable)?;
        self.0 = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn codec(service: &str, scope: &str, key: Option<&str>) -> Codec {
        let key = key.map(|key| key.repeat(32));
        Codec::new(service, Some(3), &LeaderSettings { scope: scope.into(), key, ..LeaderSettings::default() })
    }

    fn messages() -> impl Strategy<Value = Message> {
        let what = prop_oneof![
            Just(What::Here),
            Just(What::Ask),
            (any::<u128>(), any::<u64>()).prop_map(|(to, echo)| What::Grant { to, echo }),
            any::<u128>().prop_map(|to| What::Deny { to }),
            Just(What::Release),
            Just(What::Leave),
        ];
        (any::<(u128, u64, u64, u64, bool, bool)>(), what).prop_map(
            |((from, sequence, wall, term, joins, leads), what)| Message {
                from,
                sequence,
                wall,
                term,
                joins,
                leads,
                what,
            },
        )
    }

    fn here() -> Message {
        Message { from: 7, sequence: 1, wall: 5, term: 9, joins: false, leads: true, what: What::Here }
    }

    #[test]
    fn a_service_whose_name_begins_with_that_of_another_is_another() {
        let written = codec("orders-de", "test", None).write(&here());
        for other in [codec("orders", "test", None), codec("orders-de", "tes", None), codec("orders", "-detest", None)]
        {
            assert_eq!(other.read(&written), Err(Refused::Foreign));
        }
        assert_eq!(codec("orders-de", "test", None).read(&written), Ok(here()));
    }

    #[test]
    fn only_who_has_the_key_is_believed() {
        let (one, other, none) = (codec("a", "b", Some("1")), codec("a", "b", Some("2")), codec("a", "b", None));
        for (writes, reads) in [(&one, &other), (&none, &one), (&one, &none)] {
            assert_eq!(reads.read(&writes.write(&here())), Err(Refused::Unreadable));
        }
        let written = one.write(&here());
        assert!(written.len() <= LONGEST);
        for at in 0..written.len() {
            let mut changed = written.clone();
            changed[at] ^= 1;
            assert!(one.read(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn members_with_other_settings_are_not_believed() {
        let written =
            Codec::new("a", Some(5), &LeaderSettings { scope: "b".into(), ..LeaderSettings::default() }).write(&here());
        assert_eq!(codec("a", "b", None).read(&written), Err(Refused::OtherSettings));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(message in messages(), has_key: bool) {
            let codec = codec("orders", "", has_key.then_some("k"));
            prop_assert_eq!(codec.read(&codec.write(&message)), Ok(message));
        }

        #[test]
        fn garbage_is_refused(message in messages(), length in 0..LONGEST, noise in prop::collection::vec(any::<u8>(), 0..700)) {
            let codec = codec("orders", "", None);
            let written = codec.write(&message);
            if length != written.len() {
                let mut other = written.clone();
                other.resize(length, 0);
                prop_assert!(codec.read(&other).is_err());
            }
            let _ = codec.read(&noise);
            prop_assert!(codec.read(&[MAGIC.as_slice(), &noise].concat()).is_err());
        }
    }
}
