//! A figure, and how figures are printed.

use super::machine::Machine;
use serde::Serialize;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This, or more.
    AtLeast(f64),
    /// This, or less.
    AtMost(f64),
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Its name, which stays the same.
    pub name: &'static str,
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// What it should be, if there is something that it should be.
    pub goal: Option<Goal>,
    /// Whether it is that.
    pub reached: Option<bool>,
    /// What the peer had in the same run.
    pub peer: Option<f64>,
    /// The value by the peer's.
    pub ratio: Option<f64>,
    /// How it was taken, and what limits it.
    pub note: String,
}

impl Figure {
    /// A figure without goal and peer.
    pub fn new(
        name: &'static str,
        value: f64,
        unit: &'static str,
        note: impl Into<String>,
    ) -> Figure {
        Figure {
            name,
            value,
            unit,
            goal: None,
            reached: None,
            peer: None,
            ratio: None,
            note: note.into(),
        }
    }

    /// With what it should be.
    pub fn with_goal(self, goal: Goal) -> Figure {
        let reached = match goal {
            Goal::AtLeast(least) => self.value >= least,
            Goal::AtMost(most) => self.value <= most,
        };
        Figure {
            goal: Some(goal),
            reached: Some(reached),
            ..self
        }
    }

    /// With what the peer had.
    pub fn beside(self, peer: f64) -> Figure {
        Figure {
            peer: Some(peer),
            ratio: Some(self.value / peer),
            ..self
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let goal = match self.goal {
            Some(Goal::AtLeast(least)) => format!(">= {least}"),
            Some(Goal::AtMost(most)) => format!("<= {most}"),
            None => String::new(),
        };
        let verdict = match self.reached {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        let peer = self
            .peer
            .zip(self.ratio)
            .map_or(String::new(), |(peer, ratio)| {
                format!("peer {peer:.1}, ratio {ratio:.2}")
            });
        let value = format!("{:.2}", self.value);
        let Figure {
            name, unit, note, ..
        } = self;
        format!("{name:<28} {value:>10} {unit:<12} {goal:<9} {verdict:<6} {peer}\n    {note}")
    }
}

/// Everything that a run printed, as one JSON document.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Where it was measured.
    pub machine: Machine,
    /// The figures.
    pub figures: Vec<Figure>,
    /// Figures that could not be taken, each with the reason.
    pub missing: Vec<Missing>,
}

/// A figure that could not be taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missing {
    /// What was to be measured.
    pub part: &'static str,
    /// Why it was not.
    pub why: String,
}

/// The value below which this part of the samples lies.
pub fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let position = (last as f64 * part).round() as usize;
    sorted.get(position).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_says_whether_it_is_what_it_should_be() {
        let figure = |goal| Figure::new("a", 3.0, "s", "").with_goal(goal).reached;
        assert_eq!(figure(Goal::AtLeast(3.0)), Some(true));
        assert_eq!(figure(Goal::AtLeast(3.5)), Some(false));
        assert_eq!(figure(Goal::AtMost(3.0)), Some(true));
        assert_eq!(figure(Goal::AtMost(2.0)), Some(false));
    }

    #[test]
    fn quantiles_are_samples_whatever_their_order() {
        let samples = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(quantile(&samples, 0.5), 3.0);
        assert_eq!(quantile(&samples, 0.0), 1.0);
        assert_eq!(quantile(&samples, 1.0), 5.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
