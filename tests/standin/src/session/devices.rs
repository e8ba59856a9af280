//! The commands of device mode: status, power, reboot, the node-installer's questions.

use super::{Done, Failure, Session, Sort, known, status_of};
use crate::nodelist;
use crate::protocol::{NodeResult, PowerOperation, Reply, Request};
use crate::render::{self, Column, dotted};
use crate::schema::Kind;
use crate::state::Answer;

/// Options of device commands that take a value and choose no nodes.
const WITH_VALUE: [&str; 7] = [
    "-d",
    "--delay",
    "--at",
    "--after",
    "--retry-count",
    "--retry-delay",
    "--port",
];

impl Session<'_> {
    pub(super) fn device_command(&mut self, name: &str, args: &[String]) -> Done {
        match name {
            "status" | "ds" => self.status(args),
            "power" => self.power(args),
            "reboot" => self.go(args, PowerOperation::Reboot),
            "shutdown" => self.go(args, PowerOperation::Shutdown),
            "installerinteractions" => self.installer_interactions(args),
            _ => Err(self.no_command(name)),
        }
    }

    /// The devices chosen by groupings and names; none if nothing was chosen.
    pub(super) fn select(&mut self, args: &[String]) -> Result<Option<Vec<String>>, Failure> {
        let view = self.view()?;
        let cluster = &view.cluster;
        let mut chosen: Option<Vec<String>> = None;
        let mut add = |names: Vec<String>| chosen.get_or_insert_default().extend(names);
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if WITH_VALUE.contains(&arg.as_str()) {
                rest.next();
                continue;
            }
            if !arg.starts_with('-') {
                let every = arg == "*";
                add(if every {
                    cluster.keys(Kind::Device)
                } else {
                    nodelist::expand(&[arg])
                });
                continue;
            }
            let of = |property: &str, value: &str| {
                let mut names = cluster.keys(Kind::Device);
                names.retain(|name| {
                    cluster
                        .find(Kind::Device, name)
                        .is_some_and(|d| d.text(property) == value)
                });
                names
            };
            match arg.as_str() {
                "-n" | "--nodes" => add(nodelist::expand(&[rest.next().map_or("", |v| v)])),
                "-l" | "--role" => add(cluster.nodes_with(rest.next().map_or("", |v| v))),
                "-c" | "--category" => add(of("category", rest.next().map_or("", |v| v))),
                "-e" | "--overlay" => {
                    let name = rest.next().map_or("", |v| v);
                    let overlay = cluster.find(Kind::ConfigurationOverlay, name);
                    add(overlay.map(|o| o.list("nodes")).unwrap_or_default());
                }
                _ => {}
            }
        }
        let Some(names) = chosen else { return Ok(None) };
        match names
            .iter()
            .find(|name| !known(cluster, Kind::Device, name))
        {
            Some(name) => Err(self.no_object(Kind::Device, name)),
            None => Ok(Some(names)),
        }
    }

    /// The chosen devices, or the used one.
    fn selected(&mut self, args: &[String]) -> Result<Vec<String>, Failure> {
        match (self.select(args)?, self.at.object.clone()) {
            (Some(names), _) => Ok(names),
            (None, Some(name)) => Ok(vec![name]),
            (None, None) => Err(Failure::new(Sort::Other, "No device selected")),
        }
    }

    fn status(&mut self, args: &[String]) -> Done {
        let names = match (self.select(args)?, self.at.object.clone()) {
            (Some(names), _) => names,
            (None, Some(name)) => vec![name],
            (None, None) => self.view()?.cluster.keys(Kind::Device),
        };
        let view = self.view()?;
        for name in names {
            let line = dotted(&name, &render::status_text(&status_of(&view, &name)));
            self.say(&line);
        }
        Ok(())
    }

    fn power(&mut self, args: &[String]) -> Done {
        let operation_of = |word: &str| match word {
            "on" => Some(PowerOperation::On),
            "off" => Some(PowerOperation::Off),
            "reset" => Some(PowerOperation::Reset),
            "status" => Some(PowerOperation::Status),
            _ => None,
        };
        let operation = args.iter().find_map(|arg| operation_of(arg));
        let Some(operation) = operation else {
            return Err(Failure::new(
                Sort::Other,
                "Usage: power [OPTIONS] status|on|off|reset",
            ));
        };
        let mut rest = args.to_vec();
        rest.retain(|arg| operation_of(arg).is_none());
        let nodes = self.selected(&rest)?;
        let mut failed = false;
        for result in self.power_request(operation, nodes)? {
            failed |= !result.ok;
            let state = render::bracket(&result.text);
            self.say(&format!("{} {}", dotted("ipmi0", &state), result.node));
        }
        failed_if(failed)
    }

    /// `reboot` and `shutdown`.
    fn go(&mut self, args: &[String], operation: PowerOperation) -> Done {
        let nodes = self.selected(args)?;
        let mut failed = false;
        for result in self.power_request(operation, nodes)? {
            failed |= !result.ok;
            self.say(&format!("{}: {}", result.node, result.text));
        }
        failed_if(failed)
    }

    fn power_request(
        &mut self,
        operation: PowerOperation,
        nodes: Vec<String>,
    ) -> Result<Vec<NodeResult>, Failure> {
        match self.call(&Request::Power { operation, nodes })? {
            Reply::Results(results) => Ok(results),
            _ => Err(Failure::new(
                Sort::Lost,
                "CMDaemon gave an unexpected answer",
            )),
        }
    }

    /// `installerinteractions -w -n node001 --confirm` (admin manual 5.4.4).
    fn installer_interactions(&mut self, args: &[String]) -> Done {
        let has = |long: &str| args.iter().any(|arg| arg == long);
        let answer = if has("--dry-run") {
            None
        } else if has("--confirm") {
            Some(Answer::Confirm)
        } else if has("--deny") {
            Some(Answer::Deny)
        } else {
            None
        };
        let wait = has("-w") || has("--wait");
        let nodes = match (self.select(args)?, self.at.object.clone()) {
            (Some(names), _) => names,
            (None, object) => object.into_iter().collect(),
        };
        if answer.is_some() && nodes.is_empty() {
            return Err(Failure::new(Sort::Other, "No device selected"));
        }
        let reply = self.call(&Request::Interactions {
            nodes,
            answer,
            wait,
        })?;
        let Reply::Results(results) = reply else {
            return Err(Failure::new(
                Sort::Lost,
                "CMDaemon gave an unexpected answer",
            ));
        };
        let rows: Vec<Vec<String>> = results
            .into_iter()
            .map(|result| vec![result.node, result.text])
            .collect();
        let columns = [Column::new("Hostname", 9), Column::new("Action", 44)];
        self.out.push_str(&render::table(&columns, &rows, " "));
        Ok(())
    }

    pub(super) fn provisioning_status(&mut self) -> Done {
        let view = self.view()?;
        let with = |message: &str| -> Vec<String> {
            let all = view.status.iter();
            let some = all.filter(|(_, node)| node.message.contains(message));
            some.map(|(name, _)| name.clone()).collect()
        };
        let (busy, queue) = (
            with("provisioning started").len(),
            with("provisioning to start"),
        );
        let idle = busy == 0 && queue.is_empty();
        let queue = if queue.is_empty() {
            "<none>".to_owned()
        } else {
            self.nodes_text(&queue)
        };
        // Only the idle text is documented.
        let state = if idle {
            "idle"
        } else {
            self.welcome.dialect.busy()
        };
        self.say(&format!(
            "Provisioning subsystem status: {state}, accepting requests"
        ));
        self.say(&format!("Nodes currently provisioning: {busy}"));
        self.say(&format!("Nodes waiting to be provisioned: {queue}"));
        Ok(())
    }

    /// `islocked`: the table of all of them is the admin manual's (5.8.2); its answer about one is not
    /// documented.
    pub(super) fn is_locked(&mut self, args: &[String]) -> Done {
        let image = args.first().cloned().or_else(|| self.at.object.clone());
        let view = self.view()?;
        let Some(image) = image else {
            let word = |image: &String| {
                let locked = view.locked_images.contains(image);
                if locked { "yes" } else { "no" }.to_owned()
            };
            let images = view.cluster.keys(Kind::SoftwareImage);
            let rows: Vec<Vec<String>> = images
                .into_iter()
                .map(|image| vec![image.clone(), word(&image)])
                .collect();
            let columns = [Column::new("Name", 14), Column::new("Locked", 7)];
            self.out.push_str(&render::table(&columns, &rows, " "));
            return Ok(());
        };
        if !known(&view.cluster, Kind::SoftwareImage, &image) {
            return Err(self.no_object(Kind::SoftwareImage, &image));
        }
        let text = self
            .welcome
            .dialect
            .locked(&image, view.locked_images.contains(&image));
        self.say(&text);
        Ok(())
    }
}

/// The lines said it already; only the exit status is left.
fn failed_if(failed: bool) -> Done {
    if failed {
        Err(Failure::new(Sort::Other, ""))
    } else {
        Ok(())
    }
}
