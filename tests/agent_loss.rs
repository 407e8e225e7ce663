//! A provider dies under load, and the applications notice nothing.
//!
//! Server, agents and email APIs are processes. Steady mail flows by HTTP over Mailgun and
//! SendGrid; Mailgun's agent or API is killed, stopped or broken; SES joins on the fly; Mailgun
//! comes back. At the end no mail is lost, and none doubled but where the API says so.

use std::time::{Duration, SystemTime};

use super::harness::{Agent, Stage, StartAgent, story};

#[test]
fn a_killed_agent_loses_no_mail_and_gets_none_until_it_is_back() {
    story(killed("killed agent", Agent::start));
}

/// Mailgun's agent, started by `start`, is killed and comes back.
pub(super) async fn killed(name: &str, start: StartAgent) {
    let mut stage = Stage::set(start).await;
    stage.mailgun_agent.process.kill();
    let killed = SystemTime::now();
    stage.server.wait_for_status("mailgun", &["offline"], Duration::from_secs(1)).await;
    stage.until_each_has(&[&stage.sendgrid], 100).await;

    // A third provider joins without a restart or a change of configuration.
    let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
    stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

    let back = SystemTime::now();
    let _mailgun_agent = start(&stage.server, "mailgun", &stage.mailgun);
    stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

    let books = stage.end(name).await;
    let late = books.attempts_at("mailgun", killed + Duration::from_millis(200), back);
    assert!(late.is_empty(), "{} offers to the dead, as {:#}", late.len(), late[0]);
}

#[test]
fn a_stopped_agent_gets_no_mail_after_a_second_of_silence() {
    story(stopped("stopped agent", Agent::start));
}

/// Mailgun's agent, started by `start`, is stopped and goes on.
pub(super) async fn stopped(name: &str, start: StartAgent) {
    let stage = Stage::set(start).await;
    stage.mailgun_agent.process.stop();
    let stopped = SystemTime::now();
    // With mail in flight its silence is a stall as well, and that is shown first.
    let silent = ["stalled", "suspect", "offline"];
    stage.server.wait_for_status("mailgun", &silent, Duration::from_secs(2)).await;
    stage.server.wait_for_status("mailgun", &["offline"], Duration::from_secs(4)).await;
    let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
    stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

    let back = SystemTime::now();
    stage.mailgun_agent.process.resume();
    stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

    let books = stage.end(name).await;
    // Silence is measured from the last beat, and looked at with each of our own.
    let late = books.attempts_at("mailgun", stopped + Duration::from_millis(1500), back);
    assert!(late.is_empty(), "{} offers to the silent, as {:#}", late.len(), late[0]);
}

#[test]
fn a_stopped_endpoint_behind_a_beating_agent_is_left_alone() {
    story(async {
        let stage = Stage::set(Agent::start).await;
        stage.mailgun.process.stop();
        let stopped = SystemTime::now();
        stage.server.wait_for_status("mailgun", &["stalled"], Duration::from_secs(5)).await;
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        let back = SystemTime::now();
        stage.mailgun.process.resume();
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

        let books = stage.end("stopped endpoint").await;
        let late = books.attempts_at("mailgun", stopped + Duration::from_millis(2500), back);
        assert!(late.is_empty(), "{} offers to the stalled, as {:#}", late.len(), late[0]);
    });
}

#[test]
fn an_endpoint_that_answers_503_is_left_alone_until_it_recovers() {
    story(async {
        let stage = Stage::set(Agent::start).await;
        stage.mailgun.set_mode("503").await;
        stage.server.wait_for_status("mailgun", &["open"], Duration::from_secs(5)).await;
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        stage.mailgun.set_mode("ok").await;
        stage
            .server
            .wait_for_status("mailgun", &["recovering", "active"], Duration::from_secs(30))
            .await;
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;
        stage.end("endpoint answering 503").await;
    });
}

#[test]
fn an_endpoint_that_refuses_connections_costs_mail_one_attempt_more_at_most() {
    story(async {
        let mut stage = Stage::set(Agent::start).await;
        stage.mailgun.process.kill();
        stage.server.wait_for_status("mailgun", &["open"], Duration::from_secs(5)).await;
        let _ses_agent = Agent::start(&stage.server, "ses", &stage.ses);
        stage.until_each_has(&[&stage.ses, &stage.sendgrid], 50).await;

        stage.mailgun.restart(stage.server.dir());
        stage.until_each_has(&[&stage.mailgun, &stage.sendgrid, &stage.ses], 50).await;

        let books = stage.end("endpoint refusing connections").await;
        let failovers = books.failovers();
        let slowest = failovers.iter().max_by_key(|failover| failover.wait).unwrap();
        let (count, wait) = (failovers.len(), slowest.wait);
        println!("{count} certainly not sent at first: the next attempt {wait:?} later at most");
        assert!(wait <= Duration::from_millis(250), "waited {wait:?}: {:#}", slowest.message);
        for failover in failovers {
            let attempts = failover.message["attempts"].as_array().unwrap().len();
            assert!(attempts <= 2, "{attempts} attempts: {:#}", failover.message);
        }
    });
}
