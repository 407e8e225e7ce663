//! Why a server can't start or go on, and the exit code that says so.

use std::net::SocketAddr;

use shivneri_spool::{OpenError, SpoolError};

use crate::config::{ConfigError, Origin};

/// A server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The spool can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The spool was opened and can't be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// An address is taken, or not one of this machine.
    #[error("{what} can't listen on {address}: {source}")]
    Bind {
        /// `http` or `agents`.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's word.
        source: std::io::Error,
    },
    /// A door would stand open to everyone who can reach it.
    #[error("{what} would listen on {address} without {missing}; {remedy}")]
    Exposed {
        /// `http` or `agents`.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What protects it.
        missing: &'static str,
        /// The command that mends it.
        remedy: &'static str,
    },
    /// Two providers of one name.
    #[error("provider {0} is there twice")]
    Duplicate(shivneri_core::ProviderId),
    /// The operating system would not.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        source: std::io::Error,
    },
}

impl StartError {
    /// Adds the place in the file to a mistake in the configuration.
    pub(crate) fn located(self, origin: &Origin) -> Self {
        if let Self::Config(error) = self { Self::Config(origin.located(error)) } else { self }
    }

    /// The program's exit code: 78 configuration, 75 data directory in use, 69 address taken.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(OpenError::InUse { .. }) => 75,
            Self::Bind { .. } => 69,
            Self::Config(_) | Self::Exposed { .. } | Self::Duplicate(_) => 78,
            Self::Open(
                OpenError::Newer { .. } | OpenError::MissingLane { .. } | OpenError::Io { .. },
            ) => 78,
            Self::Spool(_) | Self::System { .. } => 1,
        }
    }
}

/// A running server had to stop.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Agents can't be served any more.
    #[error(transparent)]
    Agents(#[from] shivneri_transport::HubError),
    /// A part of the server ended that never should.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// The drain's time was over.
    #[error("the drain was cut short: {left} sends were still under way and are in doubt")]
    CutShort {
        /// Attempts still open.
        left: usize,
    },
}
