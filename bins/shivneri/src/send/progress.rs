//! The bar that shows how far a run is: on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::render::grouped;

/// Shows how far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// For so many bytes, or for nobody knows how many. Draws on stderr, if that is a terminal.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let target = ProgressDrawTarget::stderr();
        let template = match bytes {
            Some(_) => "{bar:30} {percent:>3}%  {msg}  {eta} left",
            None => "{spinner} {msg}  {elapsed}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        Self { bar: ProgressBar::with_draw_target(bytes, target).with_style(style) }
    }

    /// So many bytes more are done.
    pub(super) fn advance(&self, bytes: u64, accepted: u64, refused: u64) {
        self.bar.set_message(counts(accepted, refused));
        self.bar.inc(bytes);
    }

    /// So many of the accepted messages are final.
    pub(super) fn finals(&self, done: u64, all: u64) {
        self.bar.set_message(format!("{} of {} final", grouped(done), grouped(all)));
        self.bar.tick();
    }

    /// Writes a line to stderr without tearing the bar.
    pub(super) fn line(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn counts(accepted: u64, refused: u64) -> String {
    let accepted = format!("{} accepted", grouped(accepted));
    match refused {
        0 => accepted,
        refused => format!("{accepted}, {} refused", grouped(refused)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_shown_once_there_is_one() {
        assert_eq!(counts(1200, 0), "1 200 accepted");
        assert_eq!(counts(1200, 3), "1 200 accepted, 3 refused");
    }

    #[test]
    fn every_template_is_well_formed() {
        Progress::new(Some(7)).advance(7, 1, 0);
        Progress::new(None).finals(1, 2);
    }
}
