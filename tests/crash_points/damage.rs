//! Records that the disk gives back wrong.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{
    NEVER, Scene, Way, rounds,
    scene::{Dies, mail},
};

/// What is done to the first messages' records, by their rows.
const DAMAGE: [fn(&Connection, i64); 4] = [
    flip_a_bit,
    |database, row| {
        run(database, "UPDATE bodies SET bytes = substr(bytes, 1, 40) WHERE message = ?1", row);
    },
    |database, row| run(database, "UPDATE deliveries SET state = 7 WHERE key = ?1 << 12", row),
    |database, row| run(database, "UPDATE messages SET on_doubt = 7 WHERE row = ?1", row),
];

#[test]
fn c21_a_damaged_record_is_set_aside_and_listed_and_holds_up_nobody() {
    rounds("C21", async || {
        for way in [Way::Agent, Way::InProcess] {
            let mut scene = Scene::set(way, NEVER, Dies::Nobody).await;
            scene.hold_mail().await;
            let mut ids = Vec::new();
            for number in 0..=DAMAGE.len() {
                ids.push(scene.acknowledged(&format!("order-{number}"), mail()).await.id);
            }
            scene.server.process.kill();
            harm(&scene.server.data().join("spool.db"));
            scene.restart();
            scene.let_go().await;
            let good = ids.pop().unwrap();
            scene.sent_once(&good, 1).await;
            for id in &ids {
                let message = scene.until(id, "set aside", |m| m["status"] == "damaged").await;
                assert_eq!(scene.times_taken(id), 0, "{message:#}");
            }
            let listed = scene.server.get("/v1/messages?status=damaged").await;
            assert_eq!(listed["data"].as_array().unwrap().len(), DAMAGE.len(), "{listed:#}");
            scene.check_books().await;
            assert_eq!(scene.accepted().await, ids.len() as u64 + 1);
            let log = fs::read_to_string(scene.server.dir().join("server.log")).unwrap();
            assert_eq!(log.matches("damaged and set aside").count(), DAMAGE.len());
        }
    });
}

fn harm(path: &Path) {
    let database = Connection::open(path).unwrap();
    for (row, damage) in (1..).zip(DAMAGE) {
        damage(&database, row);
    }
}

fn run(database: &Connection, sql: &str, row: i64) {
    assert_eq!(database.execute(sql, [row]).unwrap(), 1, "{sql}");
}

/// The last bit of the body: nothing but a checksum can tell.
fn flip_a_bit(database: &Connection, row: i64) {
    let sql = "SELECT bytes FROM bodies WHERE message = ?1";
    let mut bytes: Vec<u8> = database.query_row(sql, [row], |row| row.get(0)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let sql = "UPDATE bodies SET bytes = ?2 WHERE message = ?1";
    assert_eq!(database.execute(sql, rusqlite::params![row, bytes]).unwrap(), 1);
}
