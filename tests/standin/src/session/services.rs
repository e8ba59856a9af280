//! The services submode of a device (admin manual 3.14).

use super::{Done, Failure, Session, Sort, Sub, status_of};
use crate::protocol::{Reply, Request, ServiceAction};
use crate::render::{self, Column};
use crate::schema::Kind;

impl Session<'_> {
    pub(super) fn service(&mut self, verb: &str, args: &[String]) -> Done {
        let used = match &self.at.sub {
            Some(Sub::Services(Some(name))) => Some(name.clone()),
            _ => None,
        };
        let (Some(node), Some(service)) = (self.at.object.clone(), args.first().cloned().or(used))
        else {
            return Err(self.no_command(verb));
        };
        let action = match verb {
            "status" => return self.service_status(&node, &service),
            "start" => ServiceAction::Start,
            "stop" => ServiceAction::Stop,
            "restart" => ServiceAction::Restart,
            "reset" => ServiceAction::Reset,
            _ => return Err(self.no_command(verb)),
        };
        let view = self.view()?;
        if !status_of(&view, &node).services.contains_key(&service) {
            return Err(self.no_object(Kind::Device, &service));
        }
        let request = Request::Service {
            node: node.clone(),
            service: service.clone(),
            action,
        };
        let Reply::Results(results) = self.call(&request)? else {
            return Err(Failure::new(
                Sort::Lost,
                "CMDaemon gave an unexpected answer",
            ));
        };
        let past = match action {
            ServiceAction::Start => "started",
            ServiceAction::Stop => "stopped",
            ServiceAction::Restart => "restarted",
            ServiceAction::Reset => "reset",
        };
        if results.iter().all(|result| result.ok) {
            self.say(&format!("Successfully {past} service {service} on: {node}"));
            return Ok(());
        }
        Err(Failure::new(
            Sort::Other,
            format!("Failed to {verb} service {service} on: {node}"),
        ))
    }

    fn service_status(&mut self, node: &str, service: &str) -> Done {
        let view = self.view()?;
        match status_of(&view, node).services.get(service) {
            Some(state) => {
                self.say(&format!("{service:<20} {}", render::bracket(state)));
                Ok(())
            }
            None => Err(self.no_object(Kind::Device, service)),
        }
    }

    pub(super) fn list_services(&mut self) -> Done {
        let Some(node) = self.at.object.clone() else {
            return Err(self.no_command("list"));
        };
        let view = self.view()?;
        let rows: Vec<Vec<String>> = status_of(&view, &node)
            .services
            .keys()
            .map(|name| vec![name.clone(), "yes".to_owned(), "yes".to_owned()])
            .collect();
        let columns = [
            Column::new("Service (key)", 24),
            Column::new("Monitored", 10),
            Column::new("Autostart", 10),
        ];
        self.out.push_str(&render::table(&columns, &rows, " "));
        Ok(())
    }
}
