//! Runs entrants in turn, and prints how they compare.

use std::fmt;
use std::time::{Duration, Instant};

/// The fewest rounds that a median is taken of.
const ROUNDS: usize = 3;

/// One case: the entrants run in turn, round by round.
pub struct Race<'a> {
    case: String,
    unit: &'static str,
    entrants: Vec<Entrant<'a>>,
}

struct Entrant<'a> {
    kind: Kind,
    run: Box<dyn FnMut() -> f64 + 'a>,
    figures: Vec<f64>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// One of ours, with what is put behind the name of the case for it.
    Ours(&'static str),
    Peer(&'static str),
}

impl<'a> Race<'a> {
    /// Makes a race without entrants, whose figures are in `unit`.
    #[must_use]
    pub fn new(case: impl Into<String>, unit: &'static str) -> Self {
        Self { case: case.into(), unit, entrants: Vec::new() }
    }

    /// Enters one of ours: the case is named with `suffix` behind it. `run` returns a figure.
    #[must_use]
    pub fn ours(self, suffix: &'static str, run: impl FnMut() -> f64 + 'a) -> Self {
        self.enter(Kind::Ours(suffix), run)
    }

    /// Enters a peer. `run` returns a figure.
    #[must_use]
    pub fn peer(self, name: &'static str, run: impl FnMut() -> f64 + 'a) -> Self {
        self.enter(Kind::Peer(name), run)
    }

    fn enter(mut self, kind: Kind, run: impl FnMut() -> f64 + 'a) -> Self {
        let only = std::env::args().find_map(|word| Some(word.strip_prefix("--only=")?.to_owned()));
        if only.is_some_and(|only| only != kind.to_string()) {
            return self;
        }
        self.entrants.push(Entrant { kind, run: Box::new(run), figures: Vec::new() });
        self
    }

    /// Runs rounds for about as long as `budget`, at least three and at most `most`, and prints what came out.
    pub fn run(mut self, budget: Duration, most: usize) {
        let began = Instant::now();
        for round in 1..=most.max(ROUNDS) {
            let round_began = Instant::now();
            for entrant in &mut self.entrants {
                entrant.figures.push((entrant.run)());
            }
            if round >= ROUNDS && began.elapsed() + round_began.elapsed() > budget {
                break;
            }
        }
        self.report();
    }

    fn report(&self) {
        eprintln!("{} ({}; median, lowest, highest)", self.case, self.unit);
        for entrant in &self.entrants {
            let (lowest, median, highest) = entrant.spread();
            let rounds = entrant.figures.len();
            let name = entrant.kind.to_string();
            eprintln!("  {name:<20} {median:>10.1} {lowest:>10.1} {highest:>10.1}   {rounds} rounds");
        }
        for ours in &self.entrants {
            let Kind::Ours(suffix) = ours.kind else { continue };
            for peer in &self.entrants {
                let Kind::Peer(name) = peer.kind else { continue };
                if let Some((our_figure, their_figure)) = ours.beside(peer) {
                    let ratio = our_figure / their_figure;
                    println!("RATIO {}{suffix} {our_figure:.1} {name} {their_figure:.1} {ratio:.3}", self.case);
                }
            }
        }
    }
}

impl Entrant<'_> {
    /// Returns both figures of the round whose ratio is the median. What else the machine does meets both figures of one
    /// round alike, but not those of different rounds.
    fn beside(&self, peer: &Self) -> Option<(f64, f64)> {
        let mut rounds: Vec<_> = self.figures.iter().copied().zip(peer.figures.iter().copied()).collect();
        rounds.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
        rounds.get(rounds.len().saturating_sub(1) / 2).copied()
    }

    /// Returns the lowest, the median and the highest figure.
    fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.figures.clone();
        sorted.sort_by(f64::total_cmp);
        match (sorted.first(), sorted.last()) {
            (Some(&lowest), Some(&highest)) => {
                let (below, above) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
                (lowest, f64::midpoint(below, above), highest)
            }
            _ => (f64::NAN, f64::NAN, f64::NAN),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(suffix) => write!(formatter, "playhouse{suffix}"),
            Self::Peer(name) => formatter.write_str(name),
        }
    }
}

impl fmt::Debug for Race<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Race")
            .field("case", &self.case)
            .field("entrants", &self.entrants.len())
            .finish_non_exhaustive()
    }
}

/// Says whether the command line asks for `case`: it does where a word of it is part of the name, or where it has none.
#[must_use]
pub fn wanted(case: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--")).peekable();
    words.peek().is_none() || words.any(|word| case.contains(&word))
}
