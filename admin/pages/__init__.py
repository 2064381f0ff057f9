"""The pages, one module a subject: each exports its `ROUTES`."""
