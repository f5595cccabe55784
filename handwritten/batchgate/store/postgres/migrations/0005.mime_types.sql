-- The media type that an upload states for its file; NULL if it states none.
ALTER TABLE files ADD COLUMN mime_type text;
