//! The codings of a body, and which of them a client wants.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::http::media::parameter;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// The cheapest for what they save first.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Their names, as a header lists them.
    pub(crate) const ALL_NAMES: &'static str = "zstd, br, gzip";

    pub(crate) fn of(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| coding.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// How much a client wants each coding; nothing is what it does not take.
#[derive(Debug)]
pub(crate) struct Wanted {
    codings: [f32; Coding::ALL.len()],
    identity: f32,
}

impl Wanted {
    /// Returns what the head of a request says. A client that says nothing gets what every client understands.
    pub(crate) fn by(headers: &HeaderMap) -> Self {
        let (mut codings, mut identity, mut others) = ([None; Coding::ALL.len()], None, None);
        let listed = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        for item in listed.flat_map(|value| value.split(',')) {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let quality = parameter(parameters, "q").and_then(|text| text.parse().ok());
            let quality = quality.filter(|quality| (0.0..=1.0).contains(quality)).unwrap_or(1.0_f32);
            match name.trim() {
                "*" => others = Some(quality),
                name if name.eq_ignore_ascii_case("identity") => identity = Some(quality),
                name => {
                    let number =
                        Coding::of(name).and_then(|coding| Coding::ALL.iter().position(|known| *known == coding));
                    if let Some(place) = number.and_then(|number| codings.get_mut(number)) {
                        *place = Some(quality);
                    }
                }
            }
        }
        // Unless it is ruled out, it is taken, if less gladly than whatever is named.
        let unnamed = if others == Some(0.0) { 0.0 } else { f32::MIN_POSITIVE };
        Self {
            codings: codings.map(|quality| quality.or(others).unwrap_or(0.0)),
            identity: identity.unwrap_or(unnamed),
        }
    }

    pub(crate) fn takes_identity(&self) -> bool {
        self.identity > 0.0
    }

    /// Returns the coding that the client wants most; nothing where it takes none, or takes none rather than what there is. One that
    /// is not worth it is chosen only where nothing else is taken.
    pub(crate) fn best(&self, is_worth_it: bool) -> Option<Coding> {
        let mut best = (None, if is_worth_it { 0.0 } else { self.identity });
        for (coding, quality) in Coding::ALL.into_iter().zip(self.codings) {
            if quality > best.1 {
                best = (Some(coding), quality);
            }
        }
        best.0.filter(|_| best.1 >= self.identity)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn best(accept: &'static str) -> (Option<Coding>, bool) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
        }
        let wanted = Wanted::by(&headers);
        (wanted.best(true), wanted.takes_identity())
    }

    #[test]
    fn the_coding_is_the_one_that_is_wanted_most() {
        use Coding::{Brotli, Gzip, Zstd};
        for (accept, coding, identity) in [
            ("", None, true),
            ("gzip", Some(Gzip), true),
            ("x-gzip", Some(Gzip), true),
            ("gzip, deflate, br, zstd", Some(Zstd), true),
            ("GZIP;q=0.8, br;q=1.0, zstd; q=0.2", Some(Brotli), true),
            ("gzip;q=0", None, true),
            ("*", Some(Zstd), true),
            ("zstd;q=0, *;q=0.5", Some(Brotli), true),
            ("identity, gzip;q=0.5", None, true),
            ("identity;q=0.5, gzip;q=0.5", Some(Gzip), true),
            ("identity;q=0, gzip", Some(Gzip), false),
            ("*;q=0", None, false),
            ("*;q=0, gzip;q=0.1", Some(Gzip), false),
            ("deflate", None, true),
            ("gzip;q=nan", Some(Gzip), true),
            (",,;q=1", None, true),
        ] {
            assert_eq!(best(accept), (coding, identity), "{accept}");
        }
    }
}
