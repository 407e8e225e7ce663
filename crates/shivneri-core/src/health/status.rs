//! What people see of a provider's health, and what the dispatcher asks of it.

use std::fmt;

/// A provider's status: the first of these that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Switched off by an operator.
    Disabled,
    /// Takes no new mail by an operator's word, and finishes what it has.
    Draining,
    /// The account has a fault: key, suspension, pause, quota, sender.
    Misconfigured,
    /// No agent is there.
    Offline,
    /// Failed too much; left alone for a while.
    Open,
    /// On probation: one mail at a time.
    Probing,
    /// Asked for a pause.
    Throttled,
    /// Takes mail and answers nothing.
    Stalled,
    /// Its agents are silent.
    Suspect,
    /// Its share grows back.
    Recovering,
    /// Takes its full share.
    Active,
}

impl Status {
    /// Every status, gravest first.
    pub const ALL: [Self; 11] = [
        Self::Disabled,
        Self::Draining,
        Self::Misconfigured,
        Self::Offline,
        Self::Open,
        Self::Probing,
        Self::Throttled,
        Self::Stalled,
        Self::Suspect,
        Self::Recovering,
        Self::Active,
    ];

    /// The word used in the API and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Draining => "draining",
            Self::Misconfigured => "misconfigured",
            Self::Offline => "offline",
            Self::Open => "open",
            Self::Probing => "probing",
            Self::Throttled => "throttled",
            Self::Stalled => "stalled",
            Self::Suspect => "suspect",
            Self::Recovering => "recovering",
            Self::Active => "active",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an operator wants of a provider; kept over restarts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Admin {
    /// It may take mail.
    #[default]
    Enabled,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It takes nothing.
    Disabled,
}

impl Admin {
    /// The word used in the API and in storage.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }
}

/// Whether health allows new mail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// None.
    Shut,
    /// One mail at a time, and none while that one is out.
    Probation {
        /// Whether the permit is there to be taken.
        free: bool,
        /// Whether it has waited so long that any mail that may be resent will do.
        impatient: bool,
    },
    /// Only where no provider of better standing takes it: it answers nothing at present.
    LastResort,
    /// This share of its weight and window.
    Open {
        /// From 0.1 to 1.
        share: f64,
    },
}
