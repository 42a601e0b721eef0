//! Scripts that run on the server, each as a whole.

use std::sync::LazyLock;

use redis::{Cmd, RedisError, RedisResult, Script, ServerErrorKind, Value, cmd};
use store_net::DriverError;

use crate::link::{Link, Slot};

/// A script.
pub(crate) struct Lua {
    code: &'static str,
    /// The client library's, for the SHA-1.
    script: LazyLock<Script>,
}

macro_rules! scripts {
    ($($name:ident $file:literal)*) => {
        $(pub(crate) static $name: Lua = Lua {
            code: include_str!(concat!("lua/", $file, ".lua")),
            script: LazyLock::new(|| Script::new(include_str!(concat!("lua/", $file, ".lua")))),
        };)*
    };
}

scripts! {
    COMMIT "commit"
    FIND "find"
    DELETE "delete"
    ACQUIRE "acquire"
    RENEW "renew"
    RELEASE "release"
}

/// A call of a script, without the script itself.
pub(crate) struct Call {
    script: &'static Lua,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Call {
    pub(crate) fn new<'a>(script: &'static Lua, keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self { script, keys: keys.into_iter().map(|key| key.as_bytes().to_vec()).collect(), args: Vec::new() }
    }

    pub(crate) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.args.extend(args);
        self
    }

    /// Returns the command for a server that knows the script.
    pub(crate) fn by_hash(&self) -> Cmd {
        self.command("EVALSHA", self.script.script.get_hash().as_bytes())
    }

    /// Returns the command with the script itself, which the server then knows.
    pub(crate) fn in_full(&self) -> Cmd {
        self.command("EVAL", self.script.code.as_bytes())
    }

    fn command(&self, name: &str, script: &[u8]) -> Cmd {
        let bytes: usize = self.keys.iter().chain(&self.args).map(Vec::len).sum();
        let mut command = Cmd::with_capacity(3 + self.keys.len() + self.args.len(), script.len() + bytes + 16);
        command.arg(name).arg(script).arg(self.keys.len()).arg(&*self.keys).arg(&*self.args);
        command
    }

    /// Calls the script.
    pub(crate) async fn run(&self, slot: &Slot) -> Result<Value, DriverError> {
        slot.run(async |mut link: Link| self.query(&mut link).await).await
    }

    async fn query(&self, link: &mut Link) -> RedisResult<Value> {
        match self.by_hash().query_async(link).await {
            Err(error) if is_unknown(&error) => self.in_full().query_async(link).await,
            result => result,
        }
    }
}

/// Returns the command that failed in a script, from the line that an error of the server names.
pub(crate) fn failed_command(error: &str) -> Option<&'static str> {
    let (_, at) = error.split_once("script: ")?;
    let (hash, line) = at.split_once(", on @user_script:")?;
    let line: usize = line.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()?;
    let all = [&COMMIT, &FIND, &DELETE, &ACQUIRE, &RENEW, &RELEASE];
    let script = all.into_iter().find(|lua| lua.script.get_hash() == hash)?;
    script.code.lines().nth(line.checked_sub(1)?)?.split_once("call('")?.1.split('\'').next()
}

/// Returns `true` if the server does not know the script yet.
pub(crate) fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ServerErrorKind::NoScript.into()
}

/// Makes a command with arguments.
pub(crate) fn command<'a>(name: &str, args: impl IntoIterator<Item = &'a [u8]>) -> Cmd {
    let mut command = cmd(name);
    for arg in args {
        command.arg(arg);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_named_by_its_line() {
        let line = RELEASE.code.lines().position(|line| line.contains("call('DEL'")).unwrap() + 1;
        let hash = RELEASE.script.get_hash();
        assert_eq!(failed_command(&format!("ERR script: {hash}, on @user_script:{line}.")), Some("DEL"));
        for error in ["", "script: x, on @user_script:1.", &format!("script: {hash}, on @user_script:0.")] {
            assert_eq!(failed_command(error), None, "{error}");
        }
    }
}
