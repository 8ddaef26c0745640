"""The API's description: the OpenAPI document, its examples, and the pages made of it."""
