pub struct StreamDecoder;
