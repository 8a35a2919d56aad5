//! crm-worker, as a program that runs beside the test: with a login role of its own, which goes when it does.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{admin, setting, unique};

/// How long anything may take that happens soon.
const SOON: Duration = Duration::from_secs(20);

pub struct Worker {
    child: Child,
    role: Role,
    log: Arc<Mutex<Vec<String>>>,
    pub listen: String,
}

/// A login role that is a member of crm_worker alone.
pub struct Role {
    pub name: String,
    pub url: String,
}

impl Role {
    pub fn new() -> Self {
        let (name, password) = (unique("test_worker").replace('-', "_"), unique("password"));
        admin::execute(&format!("create role {name} login password '{password}' in role crm_worker"), &[]);
        let (_, server) =
            setting("CRM_TEST_APP_DB").split_once('@').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        Self { url: format!("postgresql://{name}:{password}@{server}"), name }
    }
}

impl Role {
    pub fn sessions(&self) -> i64 {
        admin::value("select count(*) from pg_stat_activity where usename = $1", &[&self.name])
    }
}

impl Default for Role {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        admin::execute(&format!("drop role {}", self.name), &[]);
    }
}

fn command(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(setting("CRM_TEST_WORKER"));
    command.env_clear();
    for (name, value) in settings {
        command.env(format!("CRM_WORKER_{name}"), value);
    }
    command
}

/// Runs it to its end.
pub fn output(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    command(settings).args(arguments).output().unwrap()
}

pub fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Asks until the answer is there.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < SOON, "not in {SOON:?}: {what}");
        sleep(Duration::from_millis(50));
    }
}

impl Worker {
    /// With these settings beside those that a test needs; ready when it is connected.
    #[track_caller]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let worker = Self::begin(settings);
        worker.until_logged("connected");
        worker
    }

    pub fn begin(settings: &[(&str, &str)]) -> Self {
        let (role, listen) = (Role::new(), free_address());
        let mut command = command(&[("DATABASE_URL", &role.url), ("LISTEN", &listen), ("POLL_INTERVAL", "100ms")]);
        for (name, value) in settings {
            command.env(format!("CRM_WORKER_{name}"), value);
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(vec![]));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Self { child, role, log, listen }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// The lines of the log with this message, as JSON.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["message"] == message).collect()
    }

    #[track_caller]
    pub fn until_logged(&self, message: &str) -> Value {
        let began = Instant::now();
        loop {
            if let Some(line) = self.logged(message).pop() {
                return line;
            }
            assert!(began.elapsed() < SOON, "no {message:?} in the log:\n{}", self.log());
            sleep(Duration::from_millis(50));
        }
    }

    /// Status and body.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://{}{path}", self.listen)).call().ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.body_mut().read_to_string().ok()?))
    }

    /// The value of a metric, by its name and labels.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics")?;
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
        value?.parse().ok()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ended, which it has to do soon.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < SOON * 2, "it does not end:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Ends all its sessions.
    pub fn disconnect(&self) {
        admin::execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", &[&self.role.name]);
    }

    pub fn sessions(&self) -> i64 {
        self.role.sessions()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The server notices a moment later; the role goes after this.
        let began = Instant::now();
        while self.sessions() > 0 && began.elapsed() < SOON {
            self.disconnect();
            sleep(Duration::from_millis(20));
        }
    }
}
