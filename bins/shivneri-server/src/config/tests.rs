use super::*;

fn load_with(text: &str, env: &[(&str, &str)], flags: Overrides) -> Result<Config, String> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let source = Source { file: Some(file.path().to_owned()), env, flags };
    let name = file.path().display().to_string();
    source.load().map_err(|error| error.to_string().replace(&name, "FILE"))
}

fn load(text: &str) -> Result<Config, String> {
    load_with(text, &[], Overrides::default())
}

fn error(text: &str) -> String {
    load(text).unwrap_err()
}

#[test]
fn without_a_file_two_sandboxes_run_on_loopback() {
    let config = Config::dev();
    assert!(config.dev && config.http.ip().is_loopback() && config.agents.ip().is_loopback());
    let ids: Vec<_> = config.providers.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["sandbox-a", "sandbox-b"]);
    assert_eq!(config.spool, PathBuf::from("shivneri-data/spool.db"));
}

#[test]
fn a_file_without_providers_waits_for_agents() {
    let config = load("").unwrap();
    assert!(!config.dev && config.providers.is_empty());
}

#[test]
fn a_whole_file_is_read() {
    let config = load_with(
        r#"
        [http]
        listen = "127.0.0.1:0"
        max_body = "1MiB"
        [spool]
        min_free_disk = "2GiB"
        [scheduler]
        policy = "weighted"
        [health]
        ramp = "10s"
        trip_ratio = 0.25
        [[provider]]
        id = "sendgrid-eu"
        kind = "sendgrid"
        api_key = "${env:KEY}"
        weight = 3
        domains = ["Example.com"]
        [[provider]]
        id = "mailgun"
        kind = "mailgun"
        weight = 2
        [[agent]]
        id = "mailgun-1"
        provider = "mailgun"
        token = "0123456789abcdef"
        [[key]]
        name = "shop"
        secret = "0123456789abcdef"
        scopes = ["send"]
        [[lane]]
        name = "critical"
        doubt_wait = "2s"
        [[lane]]
        name = "reports"
        max_age = "7d"
        "#,
        &[("KEY", "SG.secret")],
        Overrides::default(),
    )
    .unwrap();
    assert_eq!((config.max_body, config.scheduler.as_str()), (1 << 20, "weighted"));
    assert_eq!(config.health.ramp, Duration::from_secs(10));
    assert_eq!((config.min_free_disk, Config::dev().min_free_disk), (2 << 30, 1 << 30));
    let [sendgrid, mailgun] = config.providers.as_slice() else { panic!("two providers") };
    assert!(sendgrid.hosted && !mailgun.hosted);
    assert_eq!(sendgrid.own.0["api_key"], "SG.secret");
    assert_eq!(sendgrid.settings.domains, Some(vec!["example.com".to_owned()]));
    assert!(!format!("{config:?}").contains("SG.secret"));
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
    let lane = |name: &str| config.lanes.iter().find(|lane| lane.name.as_str() == name).unwrap();
    assert_eq!(lane("critical").doubt_wait, Duration::from_secs(2));
    assert_eq!(lane("reports").max_age, Duration::from_secs(7 * 86_400));
}

#[test]
fn each_mistake_is_told_with_its_line_and_key() {
    for (text, told) in [
        ("[http]\nlisten = \"x\"\nlissten = 3", "FILE:3: http.lissten: unknown field"),
        ("\n[htp]\nlisten = \"x\"", "FILE:2: htp: unknown field"),
        ("[http]\n\nlisten = 7", "FILE:3: http.listen: invalid type"),
        ("[http]\nlisten = \"nowhere\"", "FILE:2: http.listen: \"nowhere\" is not an address"),
        ("[http]\nmax_body = \"1MB\"", "FILE:2: http.max_body: \"1MB\" is not a size"),
        ("[health]\nlost = \"5 parsecs\"", "FILE:2: health.lost: \"5 parsecs\" is not a duration"),
        ("[health]\nlost = \"1s\"", "FILE:2: health.lost: must be longer than suspect"),
        ("[http\n", "FILE:1: "),
        ("[smtp]\nlisten = \"x\"", "FILE:1: smtp: is not built yet"),
        ("[[route]]\nproviders = []", "FILE:1: route: is not built yet"),
        ("[spool]\nurl = \"postgres://a/b\"", "FILE:2: spool.url: postgres is not built yet"),
        ("[[provider]]\nid = \"a b\"\nkind = \"x\"", "FILE:2: provider[0].id: "),
        ("[[provider]]\nid = \"a\"", "FILE:1: provider[0]: missing field `kind`"),
        (
            "[[provider]]\nid = \"a\"\nkind = \"x\"\nweight = 0",
            "FILE:4: provider[0].weight: must be at least 1",
        ),
        (
            "[[provider]]\nid = \"a\"\nkind = \"x\"\nquota = [\"1/day\"]",
            "FILE:4: provider[0].quota: is not built yet",
        ),
        (
            "[[agent]]\nid = \"a\"\nprovider = \"b\"\ntoken = \"short\"",
            "FILE:4: agent[0].token: is shorter",
        ),
        (
            "[[key]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\nscopes = [\"root\"]",
            "FILE:4: key[0].scopes: \"root\"",
        ),
        ("[[lane]]\nname = \"x\"\nreserve = 0.2", "FILE:3: lane[0].reserve: is not built yet"),
    ] {
        let error = error(text);
        assert!(error.starts_with(told), "{text}\n  gave: {error}\n  want: {told}");
    }
}

#[test]
fn the_environment_is_stronger_than_the_file_and_flags_are_stronger_still() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"\n[scheduler]\npolicy = \"random\"";
    let env = [("SHIVNERI__HTTP__LISTEN", "127.0.0.1:2"), ("SHIVNERI__HTTP__MAX_CONNECTIONS", "9")];
    let config = load_with(file, &env, Overrides::default()).unwrap();
    assert_eq!((config.http.port(), config.max_connections), (2, 9));
    let flags = Overrides { http: Some(":3".into()), ..Overrides::default() };
    assert_eq!(load_with(file, &env, flags).unwrap().http.port(), 3);
}

#[test]
fn a_wrong_variable_is_told_by_its_name() {
    let of = |name, value| load_with("", &[(name, value)], Overrides::default()).unwrap_err();
    assert!(of("SHIVNERI__HTTP__LISSTEN", "x").contains("SHIVNERI__HTTP__LISSTEN: unknown field"));
    assert!(of("SHIVNERI__HTTP", "x").contains("SHIVNERI__HTTP: is not of the form"));
    assert!(of("SHIVNERI__HEALTH__LOST", "soon").contains("SHIVNERI__HEALTH__LOST: \"soon\""));
}
