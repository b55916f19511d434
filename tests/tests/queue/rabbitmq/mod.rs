//! What RabbitMQ alone can do wrong.
