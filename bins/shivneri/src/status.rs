//! `shivneri status`: the whole at a glance.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    audit::{self, Audit},
    cli::Json,
    client::{Call, Client, Problem},
    exit::Exit,
    providers,
    render::{self, Look, clean},
};

#[derive(Debug, Deserialize)]
struct Ready {
    accept: String,
    dispatch: String,
    reason: Option<String>,
}

impl Ready {
    fn lines(&self, url: &str) -> String {
        let accept = match self.accept.as_str() {
            "ok" => "yes".to_owned(),
            other => format!("NO ({})", clean(other)),
        };
        let dispatch = match self.dispatch.as_str() {
            "ok" => "yes".to_owned(),
            other => format!("NO ({})", clean(other)),
        };
        let mut text =
            format!("server         {url}\naccepts mail   {accept}\nsends mail     {dispatch}\n");
        if let Some(reason) = self.reason.as_deref().filter(|reason| !reason.is_empty()) {
            text.push_str(&format!("because        {}\n", clean(reason)));
        }
        text
    }
}

/// Prints readiness, providers and the count of all mail. A server that takes no mail ends it
/// with [`Exit::Temporary`].
pub(crate) async fn run(client: &Client, args: &Json) -> anyhow::Result<Exit> {
    let (answer, retry_after) = client.once(&Call::get(&["readyz"])).await?;
    let exit = match answer.status.as_u16() {
        200 => Exit::Done,
        503 => Exit::Temporary,
        status => {
            let problem = Problem::read(status, retry_after, answer.body.as_bytes());
            return Err(crate::client::Error::Refused(problem).into());
        }
    };
    let ready: Ready = client.read(&answer.body)?;
    let listed = client.call(&providers::list_call()).await?;
    let counted = client.call(&audit::call()).await?;
    if args.json {
        render::print_json(&whole(client, [&answer.body, &listed, &counted])?)?;
        return Ok(exit);
    }
    let look = Look::of_stdout();
    let audit: Audit = client.read(&counted)?;
    let text = [
        ready.lines(&client.shown_url()),
        providers::table(&client.read(&listed)?, jiff::Timestamp::now(), look),
        audit.table().text(look) + &audit.finding() + "\n",
    ];
    render::print(&text.join("\n"))?;
    Ok(exit)
}

/// The three answers of the API in one object, each as it came.
fn whole(client: &Client, answers: [&String; 3]) -> anyhow::Result<String> {
    let mut parts = Vec::new();
    for (name, body) in ["ready", "providers", "audit"].into_iter().zip(answers) {
        let json: &RawValue = serde_json::from_str(body).map_err(|error| {
            crate::client::Error::Strange { url: client.shown_url(), reason: error.to_string() }
        })?;
        parts.push(format!("\"{name}\":{json}"));
    }
    Ok(format!("{{{}}}", parts.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_mail_is_told_with_its_reason() {
        let json = r#"{"accept":"ok","dispatch":"held","reason":"no provider is active"}"#;
        let ready: Ready = serde_json::from_str(json).unwrap();
        let expected = "server         http://h:1\naccepts mail   yes\nsends mail     NO (held)\n\
                        because        no provider is active\n";
        assert_eq!(ready.lines("http://h:1"), expected);
    }

    #[test]
    fn the_json_of_the_whole_holds_each_answer_unchanged() {
        let client = Client::new("http://h:1", None).unwrap();
        let [ready, list, audit] =
            [r#"{"b":1, "a":2}"#, r#"{"data":[]}"#, r#"{"gap":0}"#].map(str::to_owned);
        let expected = r#"{"ready":{"b":1, "a":2},"providers":{"data":[]},"audit":{"gap":0}}"#;
        assert_eq!(whole(&client, [&ready, &list, &audit]).unwrap(), expected);
    }
}
