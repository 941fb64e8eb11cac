pub struct StreamEncoder; pub struct StreamStyle;
