//! The server and its agents are killed and stopped at random under load, and come back.
//!
//! Clients hand over mail with idempotency keys and come again with the same key until they are
//! answered. At the end each key names one message, each message was taken or is finally in doubt,
//! and none is doubled but where the server says that it may be.

use std::time::Duration;

use tokio::time::sleep;

use super::harness::{
    Agent, Crowd, Endpoint, Ledger, Seed, Server, ledger::audit, seed::times, story,
};

/// Clients a second.
const RATE: u32 = 250;
pub(crate) const KINDS: [&str; 3] = ["mailgun", "sendgrid", "ses"];

/// Doubt and recovery within seconds, where the defaults take a minute.
const CONFIG: &str = r#"
[health]
open = "1s"
open_cap = "2s"
ramp = "2s"
session_ramp = "1s"

[[lane]]
name = "transactional"
doubt_wait = "2s"
"#;

/// One way to do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    KillServer,
    KillAgent(usize),
    KillBoth(usize),
    StopServer,
    StopAgent(usize),
}

impl Harm {
    /// A kill; every fourth time, a pause before it.
    fn draw(seed: &mut Seed) -> Vec<Self> {
        let mut harm = Vec::new();
        let agent = |seed: &mut Seed| seed.below(KINDS.len() as u64) as usize;
        if seed.below(4) == 0 {
            harm.push(match seed.below(3) {
                0 => Self::StopServer,
                _ => Self::StopAgent(agent(seed)),
            });
        }
        harm.push(match seed.below(5) {
            0 | 1 => Self::KillServer,
            2 | 3 => Self::KillAgent(agent(seed)),
            _ => Self::KillBoth(agent(seed)),
        });
        harm
    }
}

/// A server, its agents and what they send through.
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) agents: Vec<Agent>,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let server = Server::start(CONFIG);
        let endpoints: Vec<_> =
            KINDS.iter().map(|kind| Endpoint::start(kind, server.dir())).collect();
        let agents = endpoints.iter().map(|one| Agent::start(&server, one.kind(), one)).collect();
        let stage = Self { server, endpoints, agents };
        stage.until_active().await;
        stage
    }

    pub(crate) async fn until_active(&self) {
        for kind in KINDS {
            self.server.wait_for_status(kind, &["active"], Duration::from_secs(20)).await;
        }
    }

    /// Does harm and mends it. The pauses are the harm: nothing could be awaited in their place.
    async fn suffer(&mut self, harm: Harm, seed: &mut Seed) {
        match harm {
            Harm::KillServer => {
                self.server.process.kill();
                sleep(seed.millis(0..500)).await;
                self.server.restart();
            }
            Harm::KillAgent(agent) => {
                self.agents[agent].process.kill();
                sleep(seed.millis(0..1000)).await;
                self.bring_back(agent);
            }
            Harm::KillBoth(agent) => {
                self.agents[agent].process.kill();
                self.server.process.kill();
                if seed.below(2) == 0 {
                    self.bring_back(agent);
                    sleep(seed.millis(0..300)).await;
                    self.server.restart();
                } else {
                    self.server.restart();
                    sleep(seed.millis(0..300)).await;
                    self.bring_back(agent);
                }
            }
            Harm::StopServer => {
                self.server.process.stop();
                sleep(seed.millis(500..4500)).await;
                self.server.process.resume();
            }
            Harm::StopAgent(agent) => {
                self.agents[agent].process.stop();
                sleep(seed.millis(500..4500)).await;
                self.agents[agent].process.resume();
            }
        }
    }

    fn bring_back(&mut self, agent: usize) {
        let endpoint = &self.endpoints[agent];
        self.agents[agent] = Agent::start(&self.server, endpoint.kind(), endpoint);
    }

    /// Nobody has ended who was not killed.
    pub(crate) fn check_alive(&mut self) {
        assert_eq!(self.server.process.ended(), None, "the server ended by itself");
        for (kind, agent) in KINDS.iter().zip(&mut self.agents) {
            assert_eq!(agent.process.ended(), None, "{kind}'s agent ended by itself");
        }
    }

    /// Ends the traffic and reads the books.
    pub(crate) async fn end(self, crowd: Crowd, story: &str) {
        let done = crowd.stop().await;
        let endpoints: Vec<_> = self.endpoints.iter().collect();
        let ledger = Ledger::close(&self.server, &endpoints, Duration::from_secs(90)).await;
        let figures = ledger.check(&self.server, &done.acknowledged).await;
        audit(&self.server, done.acknowledged.len()).await;
        println!(
            "{story}: {} acknowledged, {:.0} a second, {} requests repeated, {} found their \
             message there, 0 lost, {} possible duplicates, {} real ones, {} in doubt, {} of them by hold",
            done.acknowledged.len(),
            done.rate,
            done.repeated,
            done.replayed,
            figures.possible,
            figures.doubled,
            figures.in_doubt,
            figures.held
        );
        // The times without a server included. What a busy machine can do is not the claim.
        let least = times("SHIVNERI_LEAST", 1);
        assert!(done.rate >= least as f64, "only {:.0} a second were acknowledged", done.rate);
    }
}

#[test]
fn nothing_acknowledged_is_lost_however_server_and_agents_are_killed() {
    story(async {
        let mut seed = Seed::of_story("kill cycles");
        let cycles = times("SHIVNERI_CYCLES", 25);
        let mut stage = Stage::set().await;
        let crowd = Crowd::start(&stage.server, RATE);
        for cycle in 1..=cycles {
            crowd.until_more(100).await;
            sleep(seed.millis(0..1000)).await;
            let harm = Harm::draw(&mut seed);
            if cycles > 25 || cycle == cycles {
                println!("kill cycle {cycle} of {cycles}: {harm:?}, {} so far", crowd.count());
            }
            for harm in harm {
                stage.suffer(harm, &mut seed).await;
            }
            stage.check_alive();
        }
        stage.end(crowd, "kill cycles").await;
    });
}
