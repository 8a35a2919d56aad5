//! Deleting an organization while others write, ask for the same, or stop half-way.

use std::thread;
use std::time::Duration;

use crm_http_tests::actor::Actor;
use crm_http_tests::admin;
use crm_http_tests::machine::Key;
use crm_http_tests::sql::{self, sqlstate};
use serde_json::{Value, json};

fn delete(actor: &Actor, batch: i32) -> Value {
    let key = Key::of_platform(&["organizations.delete"]);
    key.call("delete_organization", &json!({ "org_id": actor.organization.id, "batch": batch })).expect(200).json()
}

#[test]
fn a_deletion_goes_on_where_it_stopped() {
    let (owner, other) = (Actor::with_contacts(12), Actor::with_contacts(2));
    let before = admin::fingerprint(other.organization.id);
    assert_eq!(delete(&owner, 5), json!({ "deleted": 0, "rows": 5, "done": false }));
    let told = owner.get("/contacts").expect(403).text();
    assert!(told.contains("being deleted"), "{told}");
    assert_eq!(owner.logged_in(None).get("/organizations").expect(200).column("status"), ["cancelled"]);
    let mut calls = 1;
    while delete(&owner, 5)["done"] != true {
        calls += 1;
        assert!(calls < 20);
    }
    assert!(calls >= 2, "{calls}");
    assert_eq!(admin::count("contacts", owner.organization.id), 0);
    assert_eq!(admin::fingerprint(other.organization.id), before);
    owner.get("/contacts").expect(403);
    assert_eq!(owner.logged_in(None).get("/organizations").expect(200).rows().len(), 0);
}

#[test]
fn the_dba_deletes_it_in_a_loop_of_transactions() {
    let owner = Actor::with_contacts(9);
    let id = owner.organization.id;
    // As in docs/administration.md.
    let statement = format!(
        "do $$ begin while not (crm.delete_organization('{id}', 2) ->> 'done')::boolean loop commit; end loop; end $$"
    );
    admin::connect().batch_execute(&statement).unwrap();
    assert_eq!(admin::value::<i64>("select count(*) from crm.organizations where id = $1", &[&id]), 0);
    assert_eq!(admin::count("contacts", id), 0);
}

#[test]
fn two_at_once_delete_it_once() {
    let owner = Actor::with_contacts(40);
    let deleted: i64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut deleted = 0;
                    loop {
                        let answer = delete(&owner, 7);
                        deleted += answer["deleted"].as_i64().unwrap();
                        if answer["done"] == true {
                            return deleted;
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(deleted, 1);
    assert_eq!(admin::count("contacts", owner.organization.id), 0);
}

#[test]
fn what_a_running_transaction_adds_goes_too() {
    let owner = Actor::with_contacts(3);
    let mut client = sql::connect();
    let mut running = sql::begin_authenticated(&mut client, owner.token()).unwrap();
    running.execute("insert into crm.contacts (last_name) values ('Under way')", &[]).unwrap();
    let answer = thread::scope(|scope| {
        let deletion = scope.spawn(|| delete(&owner, 10_000));
        thread::sleep(Duration::from_millis(500));
        running.execute("insert into crm.contacts (last_name) values ('Still')", &[]).unwrap();
        running.commit().unwrap();
        deletion.join().unwrap()
    });
    assert_eq!((&answer["deleted"], &answer["done"]), (&json!(1), &json!(true)));
    assert_eq!(admin::count("contacts", owner.organization.id), 0);
    let mut next = sql::begin_as(&mut client, "crm_app").unwrap();
    assert_eq!(sqlstate(sql::authenticate(&mut next, owner.token())), "PT403");
}

#[test]
fn nothing_is_added_to_what_is_gone() {
    let owner = Actor::register();
    let mut client = sql::connect();
    let mut running = sql::begin_authenticated(&mut client, owner.token()).unwrap();
    assert_eq!(sql::contacts(&mut running), 0);
    assert_eq!(delete(&owner, 10_000)["deleted"], 1);
    let late = running.execute("insert into crm.contacts (last_name) values ('Late')", &[]);
    assert_eq!(sqlstate(late), "42501");
}
