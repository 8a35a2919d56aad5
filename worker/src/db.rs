//! Connections to the database: each is made when it is needed, and again when it was lost.

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio_postgres::config::Host;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, info, warn};

use crate::config::Database;
use crate::guard::Guard;
use crate::metrics::Metrics;
use crate::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a statement has no answer.
#[derive(Debug)]
pub struct Error {
    /// The statement may never have arrived: the connection is gone, or the server does not take statements.
    pub lost: bool,
    /// The SQLSTATE of a refusal.
    pub code: Option<String>,
    message: String,
}

impl Error {
    fn lost(message: impl fmt::Display) -> Self {
        Self { lost: true, code: None, message: message.to_string() }
    }

    /// Whether the argument was refused, for good.
    pub fn is_invalid(&self) -> bool {
        self.code.as_deref().is_some_and(|code| code.starts_with("22"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)?;
        self.code.iter().try_for_each(|code| write!(f, " ({code})"))
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(refusal) = error.as_db_error() else { return Self::lost(describe(&error)) };
        let code = refusal.code().code();
        // Connection exceptions, no resources, shutting down, not yet up; and what only a moment later succeeds.
        let passing = ["08", "53", "57P", "40", "55P03"].iter().any(|class| code.starts_with(class));
        // Never the detail: it may show a row.
        Self { lost: passing, code: Some(code.into()), message: refusal.message().into() }
    }
}

/// An error and what caused it: the outer one alone says next to nothing.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// What the database may wake.
#[derive(Default)]
pub struct Wakes {
    pub events: Notify,
    pub oauth: Notify,
}

impl Wakes {
    fn wake(&self, channel: &str) {
        match channel {
            "crm_events" => self.events.notify_one(),
            "crm_oauth" => self.oauth.notify_one(),
            _ => {}
        }
    }
}

/// What all connections share.
pub struct Server {
    settings: Database,
    tls: MakeRustlsConnect,
    pub wakes: Wakes,
    guard: Arc<Guard>,
    metrics: Arc<Metrics>,
    /// Notices that were logged: a function that is called every second repeats its own.
    told: StdMutex<HashSet<String>>,
}

impl Server {
    pub fn new(settings: Database, guard: Arc<Guard>, metrics: Arc<Metrics>) -> Result<Arc<Self>, String> {
        let tls = MakeRustlsConnect::new(tls::for_database(&settings)?);
        let (wakes, told) = (Wakes::default(), StdMutex::default());
        Ok(Arc::new(Self { settings, tls, wakes, guard, metrics, told }))
    }

    async fn connect(self: &Arc<Self>) -> Result<Client, Error> {
        self.guard.set_database(self.addresses().await);
        let connecting = self.settings.connection.connect(self.tls.clone());
        let (client, connection) =
            tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(|_| Error::lost("no answer"))??;
        tokio::spawn(self.clone().drive(connection));
        self.metrics.database_connects.inc();
        Ok(client)
    }

    /// Where the database is, so that no webhook can be delivered to it.
    async fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = self.settings.connection.get_hostaddrs().to_vec();
        for host in self.settings.connection.get_hosts() {
            if let Host::Tcp(name) = host
                && let Ok(found) = tokio::net::lookup_host((name.as_str(), 0)).await
            {
                addresses.extend(found.map(|address| address.ip()));
            }
        }
        addresses
    }

    /// Runs a connection until it ends.
    async fn drive<S, T>(self: Arc<Self>, mut connection: Connection<S, T>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            match message {
                Ok(AsyncMessage::Notification(notification)) => self.wakes.wake(notification.channel()),
                Ok(AsyncMessage::Notice(notice)) => self.tell(notice.message(), notice.hint()),
                Ok(_) => {}
                Err(error) => {
                    debug!(error = describe(&error), "a database connection ended");
                    break;
                }
            }
        }
        // Who waits for a notification would wait for ever.
        self.wakes.events.notify_one();
        self.wakes.oauth.notify_one();
    }

    fn tell(&self, message: &str, hint: Option<&str>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < 100 && told.insert(message.to_owned()) {
            warn!(message_of_database = message, hint, "the database says");
        }
    }
}

/// One connection. Statements that several tasks send at once go through it one after the other.
pub struct Link {
    server: Arc<Server>,
    timeout: Duration,
    client: Mutex<Option<Arc<Client>>>,
    /// Run when the connection is made.
    first: &'static str,
}

type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

impl Link {
    /// `timeout`: how long a statement may take.
    pub fn new(server: &Arc<Server>, timeout: Duration) -> Self {
        Self { server: server.clone(), timeout, client: Mutex::default(), first: "" }
    }

    /// One that hears what the database has to tell.
    pub fn listening(server: &Arc<Server>, timeout: Duration) -> Self {
        Self { first: "listen crm_events; listen crm_oauth", ..Self::new(server, timeout) }
    }

    pub fn wakes(&self) -> &Wakes {
        &self.server.wakes
    }

    /// Statements have their types with them, and so no name in the session: that goes through a pooler, too.
    pub async fn query(&self, statement: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let answer = self.try_query(statement, parameters).await;
        if let Err(error) = &answer {
            self.server.metrics.database_error(error.lost);
        }
        answer
    }

    async fn try_query(&self, statement: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let client = self.client().await?;
        match tokio::time::timeout(self.timeout, client.query_typed(statement, parameters)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.forget(&client).await;
                Err(Error::lost("no answer in time"))
            }
        }
    }

    /// The first column of the only row.
    pub async fn value<T: tokio_postgres::types::FromSqlOwned>(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<T, Error> {
        let rows = self.query(statement, parameters).await?;
        let row = rows.first().ok_or_else(|| Error { lost: false, code: None, message: "no row".into() })?;
        Ok(row.try_get(0)?)
    }

    async fn client(&self) -> Result<Arc<Client>, Error> {
        let mut current = self.client.lock().await;
        if let Some(client) = current.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let client = Arc::new(self.server.connect().await?);
        if !self.first.is_empty() {
            client.batch_execute(self.first).await?;
        }
        *current = Some(client.clone());
        Ok(client)
    }

    async fn forget(&self, client: &Arc<Client>) {
        let mut current = self.client.lock().await;
        if current.as_ref().is_some_and(|known| Arc::ptr_eq(known, client)) {
            *current = None;
        }
    }
}

/// Whether the database has a function of this name in `crm`: an older one has fewer.
pub async fn has_function(link: &Link, name: &str) -> Result<bool, Error> {
    let statement = "select exists (
        select from pg_catalog.pg_proc as p
        join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = 'crm' and p.proname = $1
    )";
    link.value(statement, &[(&name, Type::TEXT)]).await
}

/// Says what the login role is, once: a worker needs crm_worker's rights and no more.
pub async fn check_role(link: &Link) -> Result<(), Error> {
    let rows = link
        .query(
            "select pg_catalog.current_database()::text, current_user::text,
                 coalesce(pg_catalog.pg_has_role(w.oid, 'usage'), false),
                 r.rolsuper or r.rolbypassrls or exists (
                     select from pg_catalog.pg_roles as other
                     where other.rolname in ('crm_admin', 'crm_owner', 'crm_definer', 'crm_service', 'crm_app', 'crm_multi')
                         and pg_catalog.pg_has_role(r.oid, other.oid, 'member')
                 )
             from pg_catalog.pg_roles as r left join pg_catalog.pg_roles as w on w.rolname = 'crm_worker'
             where r.rolname = current_user",
            &[],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (database, role): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let (is_worker, is_more): (bool, bool) = (row.try_get(2)?, row.try_get(3)?);
    if !is_worker {
        warn!(database, role, "the role has not the rights of crm_worker: grant crm_worker to it");
    } else if is_more {
        warn!(
            database,
            role, "the role may do more than a worker needs: make one that is a member of crm_worker alone"
        );
    } else {
        info!(database, role, "connected");
    }
    Ok(())
}
